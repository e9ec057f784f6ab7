"""Verification: the stitched shards against the whole model, without loss and with every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgesplit.dataflow.table import GATEWAY, Task, TaskTable
from edgesplit.dataflow.variants import anonymous, apart
from edgesplit.errors import ShardError
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.shards.oracle import Oracle, Rounded, error
from edgesplit.shards.stitched import NO_LOSS, Answer, Loss, Stitched, Watch
from edgesplit.shards.store import Store

VERSION = 2
"""Of the way shards are verified; a new one forgets earlier verdicts."""

Progress = Callable[[int, int], None]
"""Called with the number of tasks that have run under every pattern, and of all."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of losses, compared: errors are relative to `max|y|`."""

    name: str
    error: float
    tolerance: float
    recovered: int

    @property
    def passed(self) -> bool:
        """Whether the answer is right; not-a-number is not."""
        return self.error <= self.tolerance


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared; `tolerance` is that of answers without a loss.

    Where activations are rounded, the shards were compared with the whole model that rounds the
    same ones; `rounded` is what that costs.
    """

    patterns: tuple[Pattern, ...]
    tolerance: float
    rounded: Rounded | None = None

    @property
    def worst(self) -> Pattern:
        """The pattern that uses most of its tolerance."""
        return max(self.patterns, key=lambda pattern: pattern.error / pattern.tolerance)


@dataclass(frozen=True, slots=True)
class _Case:
    """A loss to try; one that is `owed` must be answered, another only if it can be."""

    name: str
    loss: Loss
    stage: str = ""
    owed: bool = True


def verify(
    graph: Graph,
    table: TaskTable,
    store_folder: Path,
    *,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Verification:
    """Compare the stitched shards with the whole model on seeded random inputs.

    Each variant without loss, with each row of each coded group withheld, and with each device that
    makes several such rows; of variants that differ in their devices only, the first. A verdict is
    remembered by the digests of the graph and the variant.

    Args:
        graph: The imported model.
        table: Its task table, with the digests of built shards.
        store_folder: The store with those shards.
        seed: Of the inputs.
        threads: Threads of ONNX Runtime; 0 for one a core.
        progress: Told of every task that is being run.

    Raises:
        ShardError: An answer is missing or outside the tolerance, named with stage and figures.
    """
    store = Store(store_folder)
    different = {anonymous(variant): variant for variant in reversed(apart(table))}
    found = [
        _verdict(graph, variant, store, seed=seed, threads=threads, progress=progress)
        for variant in reversed(different.values())
    ]
    return Verification(
        tuple(pattern for one in found for pattern in one.patterns),
        max(one.tolerance for one in found),
        max(filter(None, (one.rounded for one in found)), key=_cost, default=None),
    )


def _cost(rounded: Rounded) -> float:
    return rounded.error


def _verdict(
    graph: Graph,
    table: TaskTable,
    store: Store,
    *,
    seed: int,
    threads: int,
    progress: Progress | None,
) -> Verification:
    """Return what was found of a variant, now or before."""
    key = (graph.digest, table.digest, seed, VERSION, ort.__version__)
    memo = store.recall("verified", *key)
    if memo is not None:
        return _read(memo)
    found = _compare(graph, table, store, seed=seed, threads=threads, progress=progress)
    store.remember("verified", *key, value=asdict(found))
    return found


def _compare(
    graph: Graph,
    table: TaskTable,
    store: Store,
    *,
    seed: int,
    threads: int,
    progress: Progress | None,
) -> Verification:
    oracle = Oracle(graph, table, store=store, threads=threads)
    stitched = Stitched(table, store, threads=threads)
    inputs = random_inputs(graph.inputs, seed)
    tolerance, expected = oracle.tolerance(), oracle.run(inputs)
    oracle.close()
    cases = list(_cases(table))
    watch = _counting(progress, len(table.tasks)) if progress else None
    answers = stitched.run(inputs, [case.loss for case in cases], watch)
    patterns = []
    for case, answer in zip(cases, answers, strict=True):
        if answer is None and case.owed:
            raise _unanswered(case)
        if answer is not None:
            patterns.append(_pattern(case, answer, expected, oracle))
            if not patterns[-1].passed:
                # Its onnx_ir takes half a second, which a second deployment would feel.
                from edgesplit.shards.blame import culprit  # noqa: PLC0415

                stage = case.stage or culprit(graph, table, stitched, inputs, tolerance)
                raise _different(stage, patterns[-1])
    return Verification(tuple(patterns), tolerance, oracle.rounded)


def _counting(progress: Progress, total: int) -> Watch:
    done = count()
    return lambda _task, _feeds: progress(next(done), total)


def _pattern(case: _Case, answer: Answer, expected: dict[str, Any], oracle: Oracle) -> Pattern:
    tolerance = oracle.tolerance(answer.recovered)
    return Pattern(case.name, error(answer.outputs, expected), tolerance, answer.recovered)


def _cases(table: TaskTable) -> Iterator[_Case]:
    """Yield the losses to try, the empty one first."""
    yield _Case("nothing lost", NO_LOSS)
    coded = _coded_tasks(table)
    for task in coded:
        yield _Case(f"{task.name} on {task.device} lost", frozenset([task.id]), task.stage)
    for device in dict.fromkeys(task.device for task in coded if task.device != GATEWAY):
        lost = frozenset(task.id for task in table.tasks_of(device))
        if lost not in [frozenset([task.id]) for task in coded]:
            stages = dict.fromkeys(task.stage for task in coded if task.device == device)
            yield _Case(f"device {device} lost", lost, ", ".join(stages), owed=False)


def _coded_tasks(table: TaskTable) -> list[Task]:
    """Return the tasks that make a row of a group with parity."""
    flows = {
        flow
        for task in table.tasks
        for need in task.inputs
        for group in need.groups
        if group.parity
        for row in group.rows
        for flow in row
    }
    return [t for t in table.tasks if any(output.flow in flows for output in t.outputs)]


def _unanswered(case: _Case) -> ShardError:
    return ShardError(
        f"no answer forms with {case.name}", where=f"stage {case.stage}" if case.stage else ""
    )


def _different(stage: str, pattern: Pattern) -> ShardError:
    return ShardError(
        f"the stitched shards differ from the whole model by {pattern.error:.2g} of max|y| "
        f"({pattern.name}; tolerated: {pattern.tolerance:.2g})",
        where=f"stage {stage}",
        remedy="empty the shard store and build again; if it stays, plan this stage whole",
    )


def _read(memo: dict[str, Any]) -> Verification:
    patterns = tuple(Pattern(**pattern) for pattern in memo["patterns"])
    rounded = Rounded(**memo["rounded"]) if memo["rounded"] else None
    return Verification(patterns, memo["tolerance"], rounded)
