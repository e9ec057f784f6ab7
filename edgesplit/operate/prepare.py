"""From an allocation to a release: shards built, verified, measured, and their answers known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgesplit.dataflow.table import TaskTable
from edgesplit.deploy.programs import Release
from edgesplit.graph.model import Graph
from edgesplit.operate.pacing import paces_of
from edgesplit.plan.allocation import Allocation, Prediction
from edgesplit.plan.file import load_allocation
from edgesplit.plan.overlap import needed_memory
from edgesplit.plan.planner import Planned, lower_allocation
from edgesplit.plan.predict import task_seconds, works_of
from edgesplit.shards.builder import Built, build
from edgesplit.shards.expected import Expected, expected
from edgesplit.shards.known import known_answers
from edgesplit.shards.store import Store
from edgesplit.shards.verify import Verification, verify
from edgesplit.zoo.cache import cache_folder


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
    expected: Expected


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
    return prepare_planned(planned, path.read_text(encoding="utf-8"), progress)


def prepare_planned(planned: Planned, source: str, progress: Progress) -> Prepared:
    """Build and verify the shards of a plan; `source` is the text of its allocation file."""
    graph, folder = planned.graph, store_folder()
    built = build(graph, planned.lowered, folder, lambda n, of: progress(Stage("build", n, of)))
    checked = verify(
        graph, built.table, folder, progress=lambda n, of: progress(Stage("verify", n, of))
    )
    works = works_of(graph, planned.lowered)
    release = Release(
        table=built.table,
        files={
            task: tuple(folder / name for name, _ in shard.files)
            for task, shard in built.shards.items()
        },
        allocation=hashlib.sha256(source.encode()).hexdigest(),
        deadline=planned.allocation.model.deadline,
        heads=_heads(built.table, folder),
        pace=_paces(planned, built, progress),
        predicted=task_seconds(planned.allocation, planned.lowered, works, planned.measured),
        answers=known_answers(built, folder),
        memory=needed_memory(planned.allocation.prediction),
        mapped=_mapped(planned.allocation.prediction),
        source=source,
    )
    answer = expected(graph, built.table, Store(folder))
    return Prepared(planned.allocation, graph, built, checked, release, answer)


def _mapped(prediction: Prediction | None) -> Mapping[str, int]:
    return {one.device: one.weights for one in prediction.devices} if prediction else {}


def _heads(table: TaskTable, folder: Path) -> Mapping[str, bytes]:
    store, digests = Store(folder), {sink.shard for sink in table.sinks if sink.shard}
    return {digest: store.path(digest, ".onnx").read_bytes() for digest in sorted(digests)}


def _paces(planned: Planned, built: Built, progress: Progress) -> Mapping[int, float]:
    if not any(device.pace is not None for device in planned.allocation.cluster.devices):
        return {}
    progress(Stage("measure"))
    return paces_of(planned, built.table, Store(store_folder()))
