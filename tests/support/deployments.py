"""Whole deployments for tests: planned from files, launched, harmed, measured and taken down."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import yaml

from edgesplit.deploy.fleet import ExecutorState, Fleet, open_fleet
from edgesplit.operate.gateway import Gateway, connect
from edgesplit.operate.launch import launch, take_down
from edgesplit.operate.load import difference
from edgesplit.operate.prepare import Stage
from edgesplit.operate.requests import Answer, Arrays
from edgesplit.operate.trial import Trial, open_trial
from edgesplit.plan.file import write_allocation
from edgesplit.plan.planner import Planned, plan_files
from edgesplit.spec.cluster_file import PORTS
from edgesplit.zoo.cache import cache_folder


@contextmanager
def home_of_its_own(folder: Path) -> Iterator[None]:
    """Keep built shards, keys and local devices away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESPLIT_CACHE", str(folder / "cache"))
        patch.setenv("EDGESPLIT_HOME", str(folder / "home"))
        yield


PATIENCE = 60.0
"""Seconds that devices have to be ready, however busy this machine is."""
COVERED = ("pi2", "pi3", "pi4", "pi6")
"""The devices of the starter's parity group."""

STARTER_PINS = {
    "conv1": {"devices": "pi1"},
    "conv2": {"devices": "pi1"},
    "fc1": {"split": "output", "devices": ["pi2", "pi3", "pi4"], "parity": ["pi6"]},
    "fc2": {"devices": "pi5"},
    "fc3": {"devices": "pi5"},
}
STARTER = {"source": "zoo:lenet5", "parity": 1, "deadline": "20 s", "pins": STARTER_PINS}
"""The starter's model: LeNet-5, its first fully connected layer over three with one parity."""
STARTER_DEVICES = tuple(f"pi{n}" for n in range(1, 7))


@dataclass
class Deployment:
    """An allocation file that is deployed; `stages` is what its launch told."""

    path: Path
    planned: Planned
    stages: list[Stage] = field(default_factory=list)

    @cached_property
    def trial(self) -> Trial:
        return open_trial(self.path)

    @cached_property
    def tolerance(self) -> float:
        return self.trial.oracle.tolerance(recovered=1)

    @contextmanager
    def fleet(self) -> Iterator[Fleet]:
        with open_fleet(self.trial.allocation.cluster, self.trial.record) as fleet:
            yield fleet

    @contextmanager
    def harmed(self, *devices: str) -> Iterator[Fleet]:
        """Mend these devices at the end, whatever was done to them, and see them ready."""
        with self.fleet() as fleet:
            try:
                yield fleet
            finally:
                for device in devices:
                    fleet.restore(device)
                self.connect().close()

    def connect(self) -> Gateway:
        """Return a gateway that all devices are ready for."""
        gateway = connect(self.path, wait=PATIENCE)
        assert not gateway.wait_ready(frozenset(gateway.table.devices), PATIENCE)
        return gateway

    def relaunch(self) -> list[Stage]:
        """Deploy the same file again; return what the launch told."""
        stages: list[Stage] = []
        launch(self.path, stages.append)
        return stages

    def states(self) -> Mapping[str, ExecutorState]:
        with self.fleet() as fleet:
            states, failures = fleet.states()
        assert not failures
        return states

    def feeds(self, seed: int) -> Arrays:
        """Return an input that no other seed has."""
        rng = np.random.default_rng(seed)
        return {p.name: rng.random(p.shape, np.float32) for p in self.planned.graph.inputs}

    def expected(self, seed: int) -> Arrays:
        return self.trial.oracle.run(self.feeds(seed))

    def right(self, seed: int, answer: Answer | Arrays) -> bool:
        """Tell whether this is the whole model's answer to the input of this seed."""
        outputs = answer.outputs if isinstance(answer, Answer) else answer
        wanted = self.expected(seed)
        return all(difference(outputs[name], wanted[name]) <= self.tolerance for name in wanted)


@contextmanager
def deployed(folder: Path, cluster: Mapping[str, object], model: object) -> Iterator[Deployment]:
    """Plan a cluster and a model from their files, launch, and take down at the end."""
    with launched(Deployment(*planned_files(folder, cluster, model))) as made:
        yield made


@contextmanager
def launched(made: Deployment) -> Iterator[Deployment]:
    """Launch what an allocation file says, and take down at the end."""
    path = made.path
    try:
        launch(path, made.stages.append)
        yield made
    finally:
        if path.with_name("allocation.deployed.json").exists():
            take_down(path)


def planned_files(
    folder: Path, cluster: Mapping[str, object], model: object
) -> tuple[Path, Planned]:
    """Write the two files, plan, and write the allocation file; return its path and the plan."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "cluster.yaml", folder / "model.yaml"
    for file, content in zip(files, (cluster, model), strict=True):
        file.write_text(yaml.safe_dump(content, sort_keys=False))
    planned = plan_files(*files, cache_folder())
    path = folder / "allocation.yaml"
    write_allocation(planned.allocation, path)
    return path, planned


def local_cluster(
    folder: Path, devices: Sequence[str], memory: str = "256 MiB"
) -> dict[str, object]:
    """Return the cluster file of processes on this machine that live in `folder`."""
    port = free_range("127.0.0.1", PORTS * (len(devices) + 1))
    defaults = {
        "connection": "local",
        "profile": "raspberry-pi-3b",
        "memory": memory,
        "cores": 1,
        "port": port,
    }
    roots = {name: {"root": str(folder / name)} for name in devices}
    return {"name": f"test-{port}", "defaults": defaults, "devices": roots}


def free_range(address: str, count: int) -> int:
    """Return the first of `count` ports in a row that are free on this address."""
    while True:
        first = 20000 + secrets.randbelow(10000)
        try:
            for port in range(first, first + count):
                socket.create_server((address, port)).close()
        except OSError:
            continue
        return first


def processes_of(folder: Path) -> dict[int, str]:
    """Return the commands of all executors and supervisors in `folder`, by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "edgesplit.runtime" in command and f"{folder}/" in command:
            found[int(path.parent.name)] = command
    return found
