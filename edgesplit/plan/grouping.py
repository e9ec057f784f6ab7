"""Procedure 1, step 2: consecutive layers in groups of similar latency, one device each.

"Using latency of layers and their splitted version, and by ensuring sequential dependency of
layers, try to create groups of layers with same latency" (Collaborative Execution of Deep Neural
Networks on Internet of Things Devices, Procedure 1). Exact by dynamic programming over cuts, for
one order of the devices: a group gets the next device or skips it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgesplit.plan.costing import Costing, StageCost
from edgesplit.spec.cluster import Device

Objective = Literal["latency", "throughput"]


class Score(NamedTuple):
    """How good a row of stages is: smaller is better, the first figure decides."""

    decisive: float = 0.0
    other: float = 0.0
    stages: int = 0

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
    """A row of stages, as its last one and those before it."""

    score: Score = Score()
    last: Placed | None = None
    before: Grouping | None = None

    @property
    def stages(self) -> tuple[Placed, ...]:
        """The stages in order."""
        if self.last is None or self.before is None:
            return ()
        return (*self.before.stages, self.last)


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
        """Return the best grouping of all layers, or None where they don't fit."""
        row: list[Grouping | None] = [Grouping()]
        row += [None] * len(self.order)
        reached = [row] + [[None] * len(row) for _ in range(len(self.costing.chain))]
        for start in range(len(self.costing.chain)):
            _skip(reached[start])
            for end, home in self._runs(start):
                for used, grouping in enumerate(reached[start]):
                    if grouping is not None:
                        self._extend(grouping, start, end, home, used, reached[end])
        ends = (found for found in reached[-1] if found is not None)
        return min(ends, key=lambda found: found.score, default=None)

    def _extend(
        self,
        grouping: Grouping,
        start: int,
        end: int,
        home: Device | None,
        used: int,
        row: list[Grouping | None],
    ) -> None:
        """Offer a grouping with one stage more to the row of what ends there."""
        split = self.splits.get(start)
        device, taken = home, used
        if split is None and home is None:
            if used == len(self.order):
                return
            device, taken = self.order[used], used + 1
        cost = split or (device and self.costing.whole(start, end, device))
        if cost is None:
            return
        score = grouping.score.then(cost, self.objective)
        held = row[taken]
        if held is None or score < held.score:
            row[taken] = Grouping(score, Placed(start, end, device, cost), grouping)

    def _runs(self, start: int) -> Iterator[tuple[int, Device | None]]:
        """Yield where a stage that begins at a layer may end, and the device it must be on."""
        cuts = self.costing.chain.cuts
        if start in self.splits:
            if cuts[start + 1]:
                yield start + 1, None
            return
        for end in range(start + 1, len(self.costing.chain) + 1):
            if end - 1 in self.splits:
                return
            touched = [(a, b) for a, b in self.homes if a < end and start < b]
            whole = all(start <= a and b <= end for a, b in touched)
            if cuts[end] and whole and len(touched) < 2:
                yield end, self.homes[touched[0]] if touched else None


def _skip(row: list[Grouping | None]) -> None:
    """Let a device go unused where that is better."""
    for used in range(1, len(row)):
        held, fewer = row[used], row[used - 1]
        if fewer is not None and (held is None or fewer.score < held.score):
            row[used] = fewer
