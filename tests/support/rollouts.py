"""A site of local devices on which one plan replaces another, under load or under fire."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deployments import PATIENCE, local_cluster, planned_files, processes_of
from relays import until

from edgesplit.deploy.record import Record, load_record, record_path
from edgesplit.operate.gateway import Gateway, connect
from edgesplit.operate.launch import Launched, launch, take_down
from edgesplit.operate.load import Counts, Pattern, Sample, Workload, run, tally, workload
from edgesplit.operate.prepare import Progress, store_folder
from edgesplit.plan.planner import Planned
from edgesplit.runtime.release import current
from edgesplit.runtime.root import Root
from edgesplit.shards.oracle import Oracle
from edgesplit.shards.store import Store

_ENOUGH = 5
"""Answers after which a load is under way."""

DEVICES = ("pi1", "pi2", "pi3")
_PINS = {
    "a": {"conv1": "pi1", "conv2": "pi1", "fc1": "pi2", "fc2": "pi3", "fc3": "pi3"},
    "b": {"conv1": "pi2", "conv2": "pi2", "fc1": "pi3", "fc2": "pi1", "fc3": "pi1"},
    "narrow": {"conv1": "pi1", "conv2": "pi1", "fc1": "pi2", "fc2": "pi2", "fc3": "pi2"},
}
"""Plans of the same model: which device has which layer."""

# The controller: it tells its steps, and at one of them it waits to be killed, or does not wait.
_CONTROLLER = """
import sys, threading
from pathlib import Path
from edgesplit.cli.interrupt import Interruption
from edgesplit.operate import launch

verb, path, stop, waits = sys.argv[1:]

def tell(stage):
    sys.stdout.write(f"{stage.what}\\n")
    sys.stdout.flush()
    if stage.what == stop and waits == "True":
        threading.Event().wait()

Interruption()
getattr(launch, verb)(Path(path), tell)
"""


@dataclass
class Site:
    """One allocation file whose content changes from plan to plan."""

    folder: Path
    memory: str = "256 MiB"
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cluster = local_cluster(self.folder / "devices", DEVICES, self.memory)
        for name, pins in _PINS.items():
            model = {
                "source": "zoo:lenet5",
                "deadline": "20 s",
                "pins": {layer: {"devices": device} for layer, device in pins.items()},
            }
            path, planned = planned_files(self.folder, cluster, model)
            self.texts[name] = path.read_text()
        self.path = path
        self.work = _work(planned)

    @property
    def record(self) -> Record:
        return load_record(record_path(self.path))

    def choose(self, plan: str) -> Path:
        """Write the allocation file of a plan."""
        self.path.write_text(self.texts[plan])
        return self.path

    def deploy(
        self, plan: str, progress: Progress = lambda _: None, *, anew: bool = False
    ) -> Launched:
        return launch(self.choose(plan), progress, rotate_keys=anew)

    def root(self, device: str) -> Root:
        return Root(self.folder / "devices" / device)

    def currents(self) -> dict[str, str | None]:
        return {device: current(self.root(device)) for device in DEVICES}

    def executors(self) -> dict[int, str]:
        """Return the commands of all executors, candidates included, by pid."""
        found = processes_of(self.folder / "devices")
        return {pid: command for pid, command in found.items() if " execute " in command}

    def connect(self) -> Gateway:
        return connect(self.path, wait=PATIENCE)

    def answers(self) -> bool:
        """Tell whether a new gateway gets the right answer."""
        with self.connect() as gateway:
            answer = gateway.infer(self.work.feeds(0))
        error = self.work.error(0, answer.outputs)
        return error is not None and error <= self.work.tolerance

    @contextmanager
    def load(self, rate: float = 20.0) -> Iterator[Load]:
        """Put a steady load on the site while the body runs."""
        with self.connect() as gateway:
            load = Load(gateway, self.work, rate)
            load.thread.start()
            try:
                yield load
            finally:
                load.stop.set()
                load.thread.join()

    @contextmanager
    def controller(
        self, verb: str, stop: str, *, waits: bool = True
    ) -> Iterator[subprocess.Popen[str]]:
        """Yield a controller that has come to a step, and stays there if it waits."""
        with subprocess.Popen(
            [sys.executable, "-c", _CONTROLLER, verb, str(self.path), stop, str(waits)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                assert any(line.strip() == stop for line in process.stdout), "it never came there"
                yield process
            finally:
                process.kill()

    def close(self) -> None:
        if record_path(self.path).exists():
            take_down(self.path)


class Load:
    """A steady load in a thread of its own; `counts` once it has stopped."""

    def __init__(self, gateway: Gateway, work: Workload, rate: float) -> None:
        self.gateway = gateway
        self.stop = threading.Event()
        self.samples: list[Sample] = []
        self._work, self._pattern = work, Pattern(rate, deadline=gateway.record.deadline)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        run(
            self.gateway,
            self._work,
            self._pattern,
            until=self.stop.is_set,
            on_sample=self.samples.append,
        )

    @property
    def counts(self) -> Counts:
        return tally(self.samples)

    def answered(self) -> int:
        return len(self.samples)


def steady(load: Load) -> None:
    """Wait for a few answers more: the load is under way."""
    enough = load.answered() + _ENOUGH
    until(lambda: load.answered() >= enough)


@contextmanager
def site(folder: Path, memory: str = "256 MiB") -> Iterator[Site]:
    """Yield a site and take it down at the end."""
    made = Site(folder, memory)
    try:
        yield made
    finally:
        made.close()


def _work(planned: Planned) -> Workload:
    graph = planned.graph
    oracle = Oracle(graph, planned.lowered.table, store=Store(store_folder()))
    return workload(graph.inputs, oracle.run, seed=3, tol=oracle.tolerance())
