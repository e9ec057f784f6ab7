"""From an allocation file to a running deployment, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgesplit.cost.pace import paces
from edgesplit.cost.profiles import profile
from edgesplit.dataflow.table import TaskTable
from edgesplit.deploy import deployer
from edgesplit.deploy.deployer import Change, Step
from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.keys import gateway_keys
from edgesplit.deploy.programs import Release
from edgesplit.deploy.record import Record, load_record, record_path
from edgesplit.errors import DeployError
from edgesplit.graph.model import Graph
from edgesplit.operate.gateway import Gateway
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.file import load_allocation
from edgesplit.plan.planner import Planned, lower_allocation
from edgesplit.plan.predict import task_seconds
from edgesplit.shards.builder import Built, build
from edgesplit.shards.calibrate import measure, whole_model_cost
from edgesplit.shards.store import Store
from edgesplit.shards.verify import Verification, verify
from edgesplit.zoo.cache import cache_folder

READY_WITHIN = 60.0
"""Seconds that executors have to load their shards and to know each other."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress of a launch: what is being done, how far, and for which device where that tells."""

    what: str
    done: int = 0
    total: int = 0
    device: str = ""


Progress = Callable[[Stage], None]


@dataclass(frozen=True)
class Prepared:
    """An allocation whose shards are built and verified."""

    allocation: Allocation
    graph: Graph
    built: Built
    verification: Verification
    release: Release


@dataclass(frozen=True)
class Launched:
    """A deployment that answers; the executors of the `changed` devices were started for it."""

    record: Record
    prepared: Prepared
    changed: frozenset[str]


def store_folder() -> Path:
    """Return the folder of built shards."""
    return cache_folder() / "shards"


def prepare(path: Path, progress: Progress) -> Prepared:
    """Build and verify the shards of an allocation file; nothing leaves this machine.

    Raises:
        SpecErrors: The allocation file is wrong.
        ShardError: The stitched shards differ from the whole model.
    """
    progress(Stage("plan"))
    planned = lower_allocation(load_allocation(path), cache_folder())
    return prepare_planned(planned, hashlib.sha256(path.read_bytes()).hexdigest(), progress)


def prepare_planned(planned: Planned, digest: str, progress: Progress) -> Prepared:
    """Build and verify the shards of a plan; `digest` identifies it in the record."""
    graph, folder = planned.graph, store_folder()
    built = build(graph, planned.lowered, folder, lambda n, of: progress(Stage("build", n, of)))
    checked = verify(
        graph, built.table, folder, progress=lambda n, of: progress(Stage("verify", n, of))
    )
    release = Release(
        table=built.table,
        files={
            task: tuple(folder / name for name, _ in shard.files)
            for task, shard in built.shards.items()
        },
        allocation=digest,
        deadline=planned.allocation.model.deadline,
        head=_head(built.table, folder),
        pace=_paces(planned, built.table, progress),
        predicted=task_seconds(planned.graph, planned.allocation, planned.lowered),
    )
    return Prepared(planned.allocation, graph, built, checked, release)


def launch(path: Path, progress: Progress = lambda _: None, ask: Ask | None = None) -> Launched:
    """Bring an allocation file up on its devices; what ran before goes on if that fails.

    Raises:
        EdgesplitError: What is wrong with the file, the shards, a device or an executor.
    """
    return launch_prepared(prepare(path, progress), record_path(path), progress, ask)


def launch_prepared(
    prepared: Prepared, record: Path, progress: Progress = lambda _: None, ask: Ask | None = None
) -> Launched:
    """Bring prepared shards up on their devices, and leave the record at this path."""
    keys, cluster = gateway_keys(), prepared.allocation.cluster
    changed: list[str] = []

    def tell(step: Step) -> None:
        if step.name == "staged":
            changed.append(step.device)
        progress(Stage(step.name, step.done, step.total, step.device))

    def ready(new: Record) -> None:
        with open_fleet(cluster, new, ask) as fleet, Gateway(new, keys.secret) as gateway:
            _await(gateway, fleet.check)

    new = deployer.deploy(
        prepared.release,
        cluster,
        keys.public,
        record,
        ready=ready,
        progress=tell,
        ask=ask,
    )
    return Launched(new, prepared, frozenset(changed))


def preview(
    path: Path, progress: Progress = lambda _: None, ask: Ask | None = None
) -> tuple[Change, ...]:
    """Return what `launch` would do to each device."""
    prepared = prepare(path, progress)
    return deployer.preview(
        prepared.release,
        prepared.allocation.cluster,
        gateway_keys().public,
        record_path(path),
        ask=ask,
    )


def take_down(
    path: Path, *, purge: bool = False, dry_run: bool = False, ask: Ask | None = None
) -> tuple[str, ...]:
    """Stop the executors of a deployment, drop its record, and return the devices.

    Raises:
        DeployError: It is not deployed, or devices could not be reached; the others are stopped.
    """
    record = load_record(record_path(path))
    devices = tuple(record.programs)
    if not dry_run:
        deployer.down(load_allocation(path).cluster, devices, purge=purge, ask=ask)
        if purge:
            record_path(path).unlink(missing_ok=True)
    return devices


def _await(gateway: Gateway, check: Callable[[], None]) -> None:
    """Wait until all executors are ready, looking now and then whether one has ended."""
    devices = frozenset(gateway.table.devices)
    missing = devices
    for _ in range(int(READY_WITHIN / 2)):
        missing = gateway.wait_ready(devices, 2.0)
        if not missing:
            return
        check()
    states = gateway.states()
    first = min(missing)
    raise DeployError(
        f"it is {states[first].value} after {READY_WITHIN:g} s",
        where=first,
        remedy="check that its port can be reached from here and from the other devices",
    )


def _head(table: TaskTable, folder: Path) -> bytes | None:
    digest = table.sink.shard
    return Store(folder).path(digest, ".onnx").read_bytes() if digest else None


def _paces(planned: Planned, table: TaskTable, progress: Progress) -> Mapping[int, float]:
    """Return how long each task of a paced device must take, in seconds by task id."""
    paced = [d for d in planned.allocation.cluster.devices if d.pace and d.name in table.devices]
    if not paced:
        return {}
    progress(Stage("measure"))
    store = Store(store_folder())
    digests = [t.shard for d in paced for t in table.tasks_of(d.name) if t.shard]
    costs = measure(digests, store)
    found: dict[int, float] = {}
    for device in paced:
        factor = _factor(device.pace, planned.graph, store)
        found |= paces(table, costs, device.name, factor)
    return found


def _factor(pace: float | str | None, graph: Graph, store: Store) -> float:
    """Return how many times slower than this machine a device is.

    A board's factor is what its profile needs for the whole model over what this machine does:
    the board's speed comes from published figures, the efficiency of shards from measurement.
    """
    if isinstance(pace, str):
        board = profile(pace)
        predicted = sum(board.compute(layer.macs, layer.weight_bytes) for layer in graph.layers)
        return predicted / whole_model_cost(graph, store)
    return pace or 1.0
