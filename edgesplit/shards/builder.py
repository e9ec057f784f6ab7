"""All shards of an allocation, built once: the second time, nothing is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from edgesplit.dataflow.table import TaskTable
from edgesplit.graph.model import Graph
from edgesplit.plan.lower import Lowered
from edgesplit.plan.shard import ShardSpec
from edgesplit.shards.shard import Shard
from edgesplit.shards.store import Store

VERSION = 3
"""Of the way shards are built; a new one forgets what was built before."""

# Cutting is copying: a few threads keep a disk busy, more would only hold more weights at once.
_WORKERS = 4

Progress = Callable[[int, int], None]
"""Called with the number of shards that are ready, and of all."""


@dataclass(frozen=True, slots=True)
class Built:
    """The task table with the digests of its shards, the shards by task, and how many were new."""

    table: TaskTable
    shards: Mapping[int, Shard]
    new: int


def build(
    graph: Graph, lowered: Lowered, store_folder: Path, progress: Progress | None = None
) -> Built:
    """Build the shards of a lowered allocation that the store doesn't hold yet.

    Args:
        graph: The imported model.
        lowered: Its task table and the orders for its shards.
        store_folder: Folder of the content-addressed store.
        progress: Told of every shard that is ready.

    Raises:
        ShardError: A shard can't be built; those that were finished stay.
    """
    store = Store(store_folder)
    known = {spec.task: _recall(graph, spec, store) for spec in lowered.shards}
    shards = {task: shard for task, shard in known.items() if shard is not None}
    missing = [spec for spec in lowered.shards if spec.task not in shards]
    if progress:
        progress(len(shards), len(known))
    for task, shard in _build_all(graph, missing, store):
        shards[task] = shard
        if progress:
            progress(len(shards), len(known))
    digests = {task: shard.digest for task, shard in shards.items()}
    ordered = {spec.task: shards[spec.task] for spec in lowered.shards}
    return Built(lowered.table.with_shards(digests), ordered, len(missing))


def _build_all(
    graph: Graph, specs: Sequence[ShardSpec], store: Store
) -> Iterator[tuple[int, Shard]]:
    with ThreadPoolExecutor(_WORKERS) as pool:
        jobs = {pool.submit(_build, graph, spec, store): spec for spec in specs}
        for job in as_completed(jobs):
            yield jobs[job].task, job.result()


def _build(graph: Graph, spec: ShardSpec, store: Store) -> Shard:
    from edgesplit.shards.build import build_shard  # noqa: PLC0415 - onnx_ir takes half a second

    shard = build_shard(graph, spec, store)
    value = {"digest": shard.digest, "files": shard.files, "weight_bytes": shard.weight_bytes}
    store.remember("shard", *_key(graph, spec), value=value)
    return shard


def _recall(graph: Graph, spec: ShardSpec, store: Store) -> Shard | None:
    memo = store.recall("shard", *_key(graph, spec))
    if memo is None:
        return None
    files = tuple((str(name), int(size)) for name, size in memo["files"])
    complete = all(store.holds(name, size) for name, size in files)
    return Shard(memo["digest"], files, memo["weight_bytes"]) if complete else None


def _key(graph: Graph, spec: ShardSpec) -> tuple[object, ...]:
    """What a shard depends on: the task's number is not part of it, so tasks may share a shard."""
    return (graph.digest, replace(spec, task=0), VERSION, version("onnx-ir"))
