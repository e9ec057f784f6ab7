"""Procedure 1, step 2: consecutive layers in groups of similar latency, one device each.

"Using latency of layers and their splitted version, and by ensuring sequential dependency of
layers, try to create groups of layers with same latency" (Collaborative Execution of Deep Neural
Networks on Internet of Things Devices, Procedure 1). Exact by dynamic programming over cuts, for
one order of the devices: a group gets the next device or skips it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgesplit.plan.costing import Costing, StageCost
from edgesplit.spec.cluster import Device

Objective = Literal["latency", "throughput"]


@dataclass(frozen=True, slots=True)
class Score:
    """How good a row of stages is: smaller is better, the first figure decides."""

    decisive: float = 0.0
    other: float = 0.0
    stages: int = 0

    @property
    def order(self) -> tuple[float, float, int]:
        """The figures to compare by."""
        return (self.decisive, self.other, self.stages)

    def then(self, cost: StageCost, objective: Objective) -> Score:
        """Return the score with one more stage."""
        if objective == "latency":
            decisive, other = self.decisive + cost.latency, max(self.other, cost.busiest)
        else:
            decisive, other = max(self.decisive, cost.busiest), self.other + cost.latency
        return Score(decisive, other, self.stages + 1)


@dataclass(frozen=True, slots=True)
class Placed:
    """The layers `[start, end)` on a device; of a split layer, whose devices are known, None."""

    start: int
    end: int
    device: Device | None
    cost: StageCost


@dataclass(frozen=True, slots=True)
class Grouping:
    """Stages in order that cover every layer once."""

    score: Score
    stages: tuple[Placed, ...] = ()


@dataclass(frozen=True)
class Grouper:
    """The problem of step 2.

    `order` are the devices that groups may take, in this order; `splits` the costs of the split
    layers; `homes` runs of layers that must be together on a device of their own.
    """

    costing: Costing
    objective: Objective
    order: Sequence[Device]
    splits: Mapping[int, StageCost]
    homes: Mapping[tuple[int, int], Device]

    def best(self) -> Grouping | None:
        """Return the best grouping, or None where the layers don't fit."""
        row: list[Grouping | None] = [Grouping(Score())]
        row += [None] * len(self.order)
        reached = [row] + [[None] * len(row) for _ in range(len(self.costing.chain))]
        for start in range(len(self.costing.chain)):
            _skip(reached[start])
            for used, grouping in enumerate(reached[start]):
                if grouping is not None:
                    for taken, placed in self._next(start, used):
                        _offer(reached[placed.end], used + taken, self._with(grouping, placed))
        return min(filter(None, reached[-1]), key=lambda found: found.score.order, default=None)

    def _with(self, grouping: Grouping, placed: Placed) -> Grouping:
        score = grouping.score.then(placed.cost, self.objective)
        return Grouping(score, (*grouping.stages, placed))

    def _next(self, start: int, used: int) -> Iterator[tuple[int, Placed]]:
        """Yield the stages that can begin at a layer, and how many devices each takes."""
        if start in self.splits:
            if self._cut(start + 1):
                yield 0, Placed(start, start + 1, None, self.splits[start])
            return
        for end in range(start + 1, len(self.costing.chain) + 1):
            if end - 1 in self.splits:
                return
            if self._cut(end):
                yield from self._group(start, end, used)

    def _group(self, start: int, end: int, used: int) -> Iterator[tuple[int, Placed]]:
        touched = [(a, b) for a, b in self.homes if a < end and start < b]
        if len(touched) > 1 or any(a < start or end < b for a, b in touched):
            return
        if not touched and used == len(self.order):
            return
        device = self.homes[touched[0]] if touched else self.order[used]
        cost = self.costing.whole(start, end, device)
        if cost is not None:
            yield 0 if touched else 1, Placed(start, end, device, cost)

    def _cut(self, index: int) -> bool:
        return self.costing.chain.cuts[index]


def _skip(row: list[Grouping | None]) -> None:
    """Let a device go unused where that is better."""
    for used in range(1, len(row)):
        _offer(row, used, row[used - 1])


def _offer(row: list[Grouping | None], used: int, found: Grouping | None) -> None:
    held = row[used]
    if found is not None and (held is None or found.score.order < held.score.order):
        row[used] = found
