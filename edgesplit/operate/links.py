"""Links as messages find them: bandwidth and latency between devices, and what executors add.

A chain of small layers goes to and fro between two devices. Their clocks are never compared: what
the other one took is taken from a round trip, and the rest was on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from edgesplit.dataflow.table import Task, TaskTable
from edgesplit.deploy import deployer
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.keys import gateway_keys
from edgesplit.deploy.station import Station
from edgesplit.errors import DeployError
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.operate.baseline import beside
from edgesplit.operate.critical import Trace, Traces, index_traces
from edgesplit.operate.gateway import join
from edgesplit.operate.idle import idle_devices
from edgesplit.operate.launch import Launched, launch_prepared
from edgesplit.operate.load import Pattern, Workload, run
from edgesplit.operate.prepare import Progress, Stage, prepare_planned
from edgesplit.operate.workload import random_inputs
from edgesplit.plan.allocation import Allocation, Share
from edgesplit.plan.allocation import Stage as PlannedStage
from edgesplit.plan.lower import lower
from edgesplit.plan.planner import Planned
from edgesplit.spec.cluster import Cluster, Device, Link
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.zoo.build import Network
from edgesplit.zoo.cache import cache_folder
from edgesplit.zoo.write import random_weights, write

_SIDE = 512
# Strides of the layers: maps of 1 MiB, then of 64 KiB, then of 1 KiB pass between the devices.
_STRIDES = (1, 1, 1, 4, 1, 1, 8, 1, 1)
_REQUESTS, _WARM_UP = 20, 3
_DEADLINE = 60.0
_LAST_BEATS = 2.0
_TICK = 1e-9
_LEAST_PER_BYTE = 1e-12


@dataclass(frozen=True, slots=True)
class Passes:
    """What a pair of devices showed: `there` between them, `entry` from and to the gateway.

    A latency is one way, and holds what both ends do for a message. `step` are seconds from a
    task's inputs to its start, by device: nothing else was to be done there.
    """

    there: Link
    entry: Link
    step: Mapping[str, float]


def measure_pair(
    cluster: Cluster,
    pair: tuple[Device, Device],
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    force: bool = False,
) -> Passes:
    """Send messages to and fro between two devices, unpaced, through executors of their own.

    Raises:
        EdgesplitError: A device can't be reached, is busy, or an executor doesn't come up.
    """
    progress(Stage("links", device=" and ".join(device.name for device in pair)))
    with idle_devices(pair, cluster.name, lambda _: None, ask, force=force) as crew:
        devices = tuple(_plain(station) for station in crew.stations.values())
    aside = beside(replace(cluster, devices=devices), "links")
    with TemporaryDirectory(prefix="edgesplit-") as folder:
        graph = import_model(_chain(Path(folder)), cache_folder())
        prepared = prepare_planned(_to_and_fro(graph, aside), "", lambda _: None)
        try:
            launched = launch_prepared(prepared, Path(folder) / "record.json", ask=ask)
            return _passes(launched)
        finally:
            names = tuple(device.name for device in devices)
            deployer.down(aside, names, purge=True, ask=ask)


def passes(table: TaskTable, traces: Sequence[Trace], latencies: Mapping[int, float]) -> Passes:
    """Return what the requests of a chain between two devices show.

    Args:
        table: The chain: each task makes one flow for the next one, on the other device.
        traces: Of its tasks.
        latencies: Seconds of each request that counts, by its number.

    Raises:
        DeployError: No request left the traces of all its tasks.
    """
    chain = [task for task in table.tasks if task.device in table.devices]
    rows = _rows([task.id for task in chain], index_traces(traces), latencies)
    sizes = [_bytes_made(table, task) for task in chain]
    between = _fit(_round_trips(rows, sizes))
    outside = median(latencies[row[0].request] - (row[-1].end - row[0].formed) for row in rows)
    carried = _bytes_made(table, table.source) + sizes[-1]
    entry = Link(carried / max(outside - 2 * between.latency, _TICK), between.latency)
    steps = {device: min(_waits(rows, device)) for device in table.devices}
    return Passes(between, entry, steps)


def _plain(station: Station) -> Device:
    """Return a device without its pace, and with the Python that it was given."""
    device = replace(station.device, pace=None, cores=1)
    return replace(device, python=station.interpreter) if station.bare else device


def _chain(folder: Path) -> Path:
    """Write a model of small layers, whose work is nothing beside the bytes that they pass on."""
    net = Network("chain")
    x = net.input("x", 1, 1, _SIDE, _SIDE)
    for index, stride in enumerate(_STRIDES):
        x = net.conv(x, f"conv{index}", 1, kernel=stride, stride=stride)
    net.output(x)
    return write(net, random_weights(0), folder)


def _to_and_fro(graph: Graph, cluster: Cluster) -> Planned:
    """Plan the layers in turn on one device and on the other."""
    ends = [device.name for device in cluster.devices]
    stages = tuple(
        PlannedStage(layer.name, (layer.name,), "whole", (Share(ends[index % len(ends)]),))
        for index, layer in enumerate(graph.layers)
    )
    model = ModelSpec(Source(graph.path), parity=0, deadline=_DEADLINE, window=1)
    allocation = Allocation(cluster, model, graph.digest, stages)
    return Planned(allocation, graph, lower(graph, allocation))


def _passes(launched: Launched) -> Passes:
    with join(launched.record, gateway_keys().secret) as gateway:
        work = Workload(random_inputs(gateway.table.inputs, 1, 0))
        pattern = Pattern(warm_up=_WARM_UP, deadline=_DEADLINE)
        samples = run(gateway, work, pattern, requests=_REQUESTS)
        gateway.wait_told(_LAST_BEATS)
        found = [sample.passage for sample in samples if sample.passage]
        latencies = {passage.request: passage.latency for passage in found}
        return passes(gateway.table, gateway.drain_traces(), latencies)


def _rows(
    order: Sequence[int], traces: Traces, latencies: Mapping[int, float]
) -> list[list[Trace]]:
    """Return the traces of each request in the order of the chain, where all are known."""
    rows = [
        [ran[task][0] for task in order]
        for (request, _), ran in traces.items()
        if request in latencies and all(task in ran for task in order)
    ]
    if not rows:
        raise DeployError(
            "no request told where its time went", remedy="look whether the devices are overloaded"
        )
    return rows


def _round_trips(
    rows: Sequence[Sequence[Trace]], sizes: Sequence[int]
) -> Iterator[tuple[int, float]]:
    """Yield bytes and seconds on the way, there and back, from every task that hears an echo."""
    for at in range(len(sizes) - 2):
        trips = (row[at + 2].formed - row[at].end - _stay(row[at + 1]) for row in rows)
        yield sizes[at] + sizes[at + 1], max(median(trips), _TICK)


def _stay(trace: Trace) -> float:
    """Return what a task took until it had its result: to send it is part of the way."""
    return trace.end - trace.formed


def _waits(rows: Sequence[Sequence[Trace]], device: str) -> Iterator[float]:
    """Yield the median wait of each task of a device: least where there is least to copy."""
    for ran in zip(*rows, strict=True):
        if ran[0].device == device:
            yield median(trace.waiting for trace in ran)


def _fit(trips: Iterable[tuple[int, float]]) -> Link:
    """Fit the latency of one way, and the bandwidth, to round trips; relative errors count."""
    told = np.array([(2.0, nbytes, seconds) for nbytes, seconds in trips])
    table = told[:, :2] / told[:, 2:]
    (latency, per_byte), *_ = np.linalg.lstsq(table, np.ones(len(table)), rcond=None)
    return Link(1 / max(float(per_byte), _LEAST_PER_BYTE), max(float(latency), 0.0))


def _bytes_made(table: TaskTable, task: Task) -> int:
    return sum(table.flows[output.flow].nbytes for output in task.outputs)
