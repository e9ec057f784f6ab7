"""The task table interpreted in one process: what the cluster would answer, losses included.

Assemblies are the ones that executors use. Several worlds, each with its own losses, are run side
by side, task by task: one session is open at a time and serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgesplit.dataflow.assembly import Assembly, Recipe
from edgesplit.dataflow.table import Task, TaskTable
from edgesplit.errors import RuntimeFault, ShardError
from edgesplit.runtime.session import open_session
from edgesplit.shards.store import Store

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Loss = frozenset[int]
"""Ids of the tasks whose contributions never arrive."""
Watch = Callable[[Task, Arrays], None]
NO_LOSS: Loss = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's outputs by name, and how many groups were decoded on the longest way there."""

    outputs: Arrays
    recovered: int


@dataclass(slots=True)
class _World:
    """One request under one loss: the contributions that are still of use, by flow."""

    loss: Loss
    arrived: dict[int, tuple[Array, int]] = field(default_factory=dict)
    answer: Answer | None = None


class Stitched:
    """A task table with built shards, interpreted without sockets.

    Args:
        table: The dataflow, of one variant; its tasks name the digests of their shards.
        store: Holds the shards.
        threads: Threads of ONNX Runtime; 0 for one a core.
    """

    def __init__(self, table: TaskTable, store: Store, *, threads: int = 0) -> None:
        self._table = table
        self._store = store
        self._threads = threads
        self._flows = {flow.id: flow for flow in table.flows}
        self._order = tuple(_topological(table))
        self._last = {flow: task.id for task in self._order for flow in _needs(task)}

    def tasks_of(self, *devices: str) -> Loss:
        """Return the loss of these devices."""
        return frozenset(task.id for task in self._table.tasks if task.device in devices)

    def maker(self, flow: int) -> Task:
        """Return the first task that makes this flow."""
        return next(
            task for task in self._order if any(output.flow == flow for output in task.outputs)
        )

    def run(
        self, inputs: Arrays, losses: Sequence[Loss] = (NO_LOSS,), watch: Watch | None = None
    ) -> list[Answer | None]:
        """Answer one request once per loss; None where that loss leaves no answer.

        Args:
            inputs: The model's inputs by name.
            losses: One set of lost tasks per answer wanted.
            watch: Called with each task and its feeds in the first of these worlds.

        Raises:
            ShardError: A shard can't be loaded.
        """
        worlds = [_World(loss) for loss in losses]
        for task in self._order:
            with_task = [world for world in worlds if task.id not in world.loss]
            self._step(task, inputs, with_task, watch if with_task[:1] == worlds[:1] else None)
            self._forget(task, worlds)
        return [world.answer for world in worlds]

    def _step(
        self, task: Task, inputs: Arrays, worlds: Sequence[_World], watch: Watch | None
    ) -> None:
        shard, recipe = self._shard(task), Recipe(task, self._flows)
        before: tuple[Arrays, Arrays] | None = None
        for number, world in enumerate(worlds):
            assembly = _assemble(task, recipe, world)
            if not assembly.formed:
                continue
            feeds = inputs if task is self._table.source else assembly.feeds()
            if watch is not None and number == 0:
                watch(task, feeds)
            # What arrives unchanged, for example when a parity row was lost, is not run again.
            same = before is not None and _equal(before[0], feeds)
            arrays = before[1] if before is not None and same else shard(feeds)
            before = before or (feeds, arrays)
            self._send(task, arrays, assembly.recovered, world)

    def _send(self, task: Task, arrays: Arrays, recovered: int, world: _World) -> None:
        if task is self._table.sink:
            names = (port.name for port in self._table.outputs)
            world.answer = Answer({name: arrays[name] for name in names}, recovered)
        for output in task.outputs:
            data = np.ascontiguousarray(arrays[output.name][output.cut])
            world.arrived.setdefault(output.flow, (data, recovered))

    def _forget(self, task: Task, worlds: Sequence[_World]) -> None:
        for flow in _needs(task):
            if self._last[flow] == task.id:
                for world in worlds:
                    world.arrived.pop(flow, None)

    def _shard(self, task: Task) -> Callable[[Arrays], Arrays]:
        if task.shard is None:
            return lambda feeds: feeds
        path = self._store.path(task.shard, ".onnx")
        try:
            session = open_session(path, self._threads, shared=False)
        except RuntimeFault as fault:
            remedy = "delete it and build the shards again"
            raise ShardError(fault.what, where=f"task {task.name}", remedy=remedy) from fault
        return lambda feeds: {**feeds, **_run(session, feeds)}


def _run(session: ort.InferenceSession, feeds: Arrays) -> Arrays:
    taken = {port.name: feeds[port.name] for port in session.get_inputs()}
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(names, taken), strict=True))


def _needs(task: Task) -> Iterator[int]:
    """Yield a task's flows, data rows before the parity rows of each group."""
    for need in task.inputs:
        for group in need.groups:
            for row in group.rows:
                yield from row


def _topological(table: TaskTable) -> Iterator[Task]:
    makers: dict[int, list[int]] = {}
    for task in table.tasks:
        for output in task.outputs:
            makers.setdefault(output.flow, []).append(task.id)
    before = {
        task.id: [maker for flow in _needs(task) for maker in makers.get(flow, ())]
        for task in table.tasks
    }
    return (table.tasks[number] for number in TopologicalSorter(before).static_order())


def _equal(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def _assemble(task: Task, recipe: Recipe, world: _World) -> Assembly:
    assembly = Assembly(recipe)
    for flow in _needs(task):
        if flow in world.arrived:
            assembly.offer(flow, *world.arrived[flow])
    return assembly
