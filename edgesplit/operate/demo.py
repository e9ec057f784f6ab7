"""The demo: a local cluster answers handwritten digits while one of its devices is killed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import sample
from tempfile import TemporaryDirectory

import numpy as np

from edgesplit.dataflow.table import TaskTable
from edgesplit.deploy import deployer
from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.keys import gateway_keys
from edgesplit.errors import RuntimeFault
from edgesplit.operate.drill import Drill, Phase, Verdict, fail_node
from edgesplit.operate.drill import Progress as DrillProgress
from edgesplit.operate.gateway import Gateway, join
from edgesplit.operate.launch import Launched, launch_prepared
from edgesplit.operate.load import Pattern, Sample, Workload
from edgesplit.operate.prepare import Progress, prepare_planned, store_folder
from edgesplit.operate.requests import Answer, Arrays
from edgesplit.plan.planner import Planned, problem
from edgesplit.shards.oracle import Oracle
from edgesplit.shards.store import Store
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.cluster_file import PORTS, load_cluster
from edgesplit.spec.model_file import load_model
from edgesplit.spec.starter import write_starter
from edgesplit.zoo.cache import cache_folder
from edgesplit.zoo.digits import held_back

RATE = 50.0
"""Requests a second."""
REQUESTS = 150
"""Requests in each phase; three phases send every held-back digit about once."""
VICTIM = "pi3"
"""The device that dies: it holds a third of the split layer."""
_PORTS = range(20_000, 30_000)


@dataclass(frozen=True)
class Shown:
    """What the demo proved: the verdict, and the share of digits read rightly in each phase."""

    verdict: Verdict
    accuracy: Mapping[Phase, float]


@dataclass(frozen=True)
class Stand:
    """The demo's cluster while it is up."""

    planned: Planned
    launched: Launched


@contextmanager
def stand(progress: Progress) -> Iterator[Stand]:
    """Yield the starter cluster, deployed on this machine in a folder that goes away with it."""
    with TemporaryDirectory(prefix="edgesplit-demo-") as name:
        folder = Path(name)
        cluster_file, model_file = write_starter(folder)
        cluster = _private(load_cluster(cluster_file), folder)
        planned = problem(cluster, load_model(model_file), cache_folder()).solve("procedure1")
        prepared = prepare_planned(planned, "", progress)
        try:
            yield Stand(planned, launch_prepared(prepared, folder / "record.json", progress))
        finally:
            deployer.down(cluster, planned.lowered.table.devices)


def show(stand: Stand, on_progress: Callable[[DrillProgress], None]) -> Shown:
    """Send the held-back digits at a steady rate, kill a device in the middle, and restore it."""
    digits = held_back()
    record, cluster = stand.launched.record, stand.planned.allocation.cluster
    with ExitStack() as stack:
        gateway = stack.enter_context(join(record, gateway_keys().secret))
        fleet = stack.enter_context(open_fleet(cluster, record))
        reader = _Reader(gateway)
        verdict = fail_node(
            reader,
            fleet,
            Drill(VICTIM, requests=REQUESTS),
            _work(stand.planned, digits.images),
            Pattern(rate=RATE, deadline=record.deadline),
            on_progress=on_progress,
        )
    return Shown(verdict, _accuracy(verdict, reader.read, digits.labels))


class _Reader:
    """A gateway that also notes which digit each answer read."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.read: dict[int, int] = {}

    @property
    def table(self) -> TaskTable:
        return self._gateway.table

    def unready(self, devices: frozenset[str], since: float) -> frozenset[str]:
        return self._gateway.unready(devices, since)

    def submit(
        self, given: Arrays, /, *, deadline: float | None = None, wait: float = 0.0
    ) -> Future[Answer]:
        future = self._gateway.submit(given, deadline=deadline, wait=wait)
        future.add_done_callback(self._note)
        return future

    def _note(self, future: Future[Answer]) -> None:
        if future.exception() is None:
            answer = future.result()
            self.read[answer.passage.request] = int(answer.output.argmax())


def _work(planned: Planned, images: np.ndarray) -> Workload:
    name = planned.graph.inputs[0].name
    oracle = Oracle(planned.graph, planned.lowered.table, store=Store(store_folder()))
    inputs = tuple({name: image[np.newaxis]} for image in images)
    expected = tuple(map(oracle.run, inputs))
    return Workload(inputs, expected, oracle.tolerance(recovered=1))


def _accuracy(verdict: Verdict, read: Mapping[int, int], labels: np.ndarray) -> dict[Phase, float]:
    """Return the share of all requests sent in each phase that were read rightly."""

    def right(sample: Sample) -> bool:
        digit = read.get(sample.passage.request) if sample.passage else None
        return digit == int(labels[sample.index % len(labels)])

    return {
        phase: _share(right(sample) for own, sample in verdict.samples if own is phase)
        for phase in Phase
    }


def _share(rights: Iterable[bool]) -> float:
    known = tuple(rights)
    return sum(known) / len(known) if known else float("nan")


def _private(cluster: Cluster, folder: Path) -> Cluster:
    """Return the cluster on free ports and in folders of its own, so that demos don't meet."""
    first = free_row(PORTS * len(cluster.devices))
    devices = tuple(
        replace(device, port=first + PORTS * index, root=str(folder / device.name))
        for index, device in enumerate(cluster.devices)
    )
    return replace(cluster, devices=devices)


def free_row(count: int) -> int:
    """Return the first of so many free ports in a row.

    All are below those that systems give to whoever asks for none, so that nobody has one of them
    by chance before its executor does.

    Raises:
        RuntimeFault: There is no such row.
    """
    for first in sample(_PORTS, len(_PORTS)):
        if all(map(_is_free, range(first, first + count))):
            return first
    raise RuntimeFault("no ports are free for the demo", remedy="end what listens on this machine")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
