"""Procedure 1, step 2: consecutive layers in groups of similar latency, one device each.

"Using latency of layers and their splitted version, and by ensuring sequential dependency of
layers, try to create groups of layers with same latency" (Collaborative Execution of Deep Neural
Networks on Internet of Things Devices, Procedure 1). Exact by dynamic programming over cuts, for
one order of the devices: a group gets the next device or skips it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from edgesplit.plan.costing import Costing, StageCost
from edgesplit.plan.devices import kind
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

    score: Score
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
        row: list[Grouping | None] = [Grouping(Score())]
        row += [None] * len(self.order)
        reached = [row] + [[None] * len(row) for _ in range(len(self.costing.chain))]
        for start in range(len(self.costing.chain)):
            self._skip(reached[start])
            for end, home in self._runs(start):
                for used, grouping in enumerate(reached[start]):
                    if grouping is not None:
                        for taken, placed in self._placed(start, end, home, used):
                            _offer(reached[end], taken, self._with(grouping, placed))
        ends = (found for found in reached[-1] if found is not None)
        return min(ends, key=lambda found: found.score, default=None)

    def _skip(self, row: list[Grouping | None]) -> None:
        """Let a device go unused where that is better.

        Among equal devices nothing is gained by it: a row that uses more of them without being
        better is dropped.
        """
        fewer = row[0]
        for used in range(1, len(row)):
            held = row[used]
            if fewer is None or (held is not None and held.score < fewer.score):
                fewer = held
            else:
                row[used] = fewer if used <= self._unequal else None

    @cached_property
    def _unequal(self) -> int:
        """How many devices of the order come before those that are all equal."""
        measured = self.costing.measured
        kinds = [kind(device, measured) for device in self.order]
        return next((at for at, one in enumerate(kinds) if {one} == set(kinds[at:])), 0)

    def _with(self, grouping: Grouping, placed: Placed) -> Grouping:
        return Grouping(grouping.score.then(placed.cost, self.objective), placed, grouping)

    def _placed(
        self, start: int, end: int, home: Device | None, used: int
    ) -> Iterator[tuple[int, Placed]]:
        """Yield the stage, if it fits, and how many devices of the order are used with it."""
        if start in self.splits:
            yield used, Placed(start, end, None, self.splits[start])
        elif home is not None or used < len(self.order):
            device, taken = (home, used) if home else (self.order[used], used + 1)
            cost = self.costing.whole(start, end, device)
            if cost is not None:
                yield taken, Placed(start, end, device, cost)

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


def _offer(row: list[Grouping | None], used: int, found: Grouping) -> None:
    held = row[used]
    if held is None or found.score < held.score:
        row[used] = found
