"""Steps 1 and 2 of Procedure 1 together, for one set of devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgesplit.cost.chain import Chain, Rows
from edgesplit.cost.profiles import Measured
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.costing import Costing
from edgesplit.plan.devices import fastest_first, kind
from edgesplit.plan.grouping import Grouper, Grouping, Placed, Score
from edgesplit.plan.pins import Pinned
from edgesplit.plan.splittable import channels, why_not_coded
from edgesplit.plan.splitting import Cut, Wanted, cut, stage_cost, wanted
from edgesplit.spec.cluster import Device
from edgesplit.spec.model import ModelSpec

Wants = Mapping[int, Wanted]

WORTHWHILE = 0.95
"""A split that isn't forced must bring the objective below this share of what it was: every device
more is one more that can fail."""


_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Solution:
    """Stages that cover the model, and the blocks of those that are split."""

    grouping: Grouping
    cuts: Mapping[int, Cut]
    wants: Wants

    def stages(self, graph: Graph) -> tuple[Stage, ...]:
        """Return the stages as an allocation holds them."""
        return tuple(self._stage(graph, placed) for placed in self.grouping.stages)

    def _stage(self, graph: Graph, placed: Placed) -> Stage:
        names = tuple(layer.name for layer in graph.layers[placed.start : placed.end])
        if placed.device is not None:
            name = names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"
            return Stage(name, names, "whole", (Share(placed.device.name, 0, 0),))
        made = self.cuts[placed.start]
        shares = tuple(
            Share(device.name, lo, hi)
            for device, (lo, hi) in zip(made.data, made.blocks, strict=True)
        )
        parity = tuple(device.name for device in made.parity)
        return Stage(names[0], names, "output", shares, parity)


@dataclass(frozen=True)
class Solver:
    """Procedure 1 for a model under its pins; remembers costs from one set to the next."""

    graph: Graph
    model: ModelSpec
    pinned: Pinned
    measured: Measured = field(default_factory=dict)
    _costings: dict[tuple[tuple[int, Rows], ...], Costing] = field(
        default_factory=dict, compare=False
    )

    def solve(self, devices: Sequence[Device]) -> Solution | None:
        """Return the best stages over these devices, or None where the model doesn't fit them."""
        wants: Wants = {i: self._wanted(i, devices) for i in self.forced(devices)}
        found = self._attempt(wants, devices)
        for index in self._largest(wants, devices) if found is None else ():
            wants = {**wants, index: self._wanted(index, devices)}
            found = self._attempt(wants, devices)
            if found is not None:
                break
        return None if found is None else self._improved(found, devices)

    def forced(self, devices: Sequence[Device]) -> tuple[int, ...]:
        """Return the model-parallel list: layers that no device can hold, or that pins split."""
        most = max(device.memory for device in devices)
        return tuple(
            index
            for index in range(len(self.graph.layers))
            if self.pinned.must_split(index)
            or (self.splittable(index) and self.needed(index) > most)
        )

    def splittable(self, index: int) -> bool:
        """Tell whether a layer can be split, and no pin forbids it."""
        return self.pinned.may_split(index) and not why_not_coded(
            self.graph, self.graph.layers[index]
        )

    def needed(self, index: int) -> int:
        """Return the least bytes that a device needs to run a layer whole, in whatever group."""
        return self.costing({}).core(index).total

    def least(self, index: int, devices: int) -> int:
        """Return the bytes that the roomiest device must have for a layer, split if it may be."""
        if not self.splittable(index):
            return self.needed(index)
        layer = self.graph.layers[index]
        shares = min(max(1, devices - self.model.parity), channels(self.graph, layer))
        block = -(-channels(self.graph, layer) // shares)
        return min(self.needed(index), self.costing({}).block_footprint(index, block).total)

    def costing(self, splits: Mapping[int, Rows]) -> Costing:
        """Return the costs of the model under these splits."""
        key = tuple(sorted(splits.items(), key=lambda item: item[0]))
        if key not in self._costings:
            chain = Chain(self.graph, splits)
            self._costings[key] = Costing(chain, self.model.window, self.measured)
        return self._costings[key]

    def _wanted(self, index: int, devices: Sequence[Device]) -> Wanted:
        known = {device.name: device for device in devices}
        return wanted(index, self.pinned.layers.get(index), self.model.parity, known)

    def _largest(self, wants: Wants, devices: Sequence[Device]) -> list[int]:
        """Layers that only some of the devices can hold on their own, the largest first."""
        least = min(device.memory for device in devices)
        rest = (i for i in range(len(self.graph.layers)) if i not in wants and self.splittable(i))
        costing = self.costing({})
        sizes = {index: costing.footprint(index, index + 1).total for index in rest}
        return sorted((i for i in sizes if sizes[i] > least), key=lambda i: -sizes[i])

    def _attempt(self, wants: Wants, devices: Sequence[Device]) -> Solution | None:
        free = [device for device in devices if device.name not in self.pinned.devices]
        known = {device.name: device for device in devices}
        solutions = [
            solution
            for cuts in self._choices(wants, free)
            for solution in self._grouped(wants, cuts, free, known)
        ]
        return min(solutions, key=_score, default=None)

    def _choices(self, wants: Wants, free: Sequence[Device]) -> list[Mapping[int, Cut]]:
        """Return the splits by each order of the devices, those that differ in names only once."""
        found: dict[tuple[object, ...], Mapping[int, Cut]] = {}
        for order in _orders(free, self.measured) if wants else [free]:
            cuts = self._cuts(wants, order)
            if cuts is not None:
                which = (
                    (i, made.blocks, *(kind(one, self.measured) for one in made.devices))
                    for i, made in cuts.items()
                )
                found.setdefault(tuple(which), cuts)
        return list(found.values())

    def _cuts(self, wants: Wants, order: Sequence[Device]) -> dict[int, Cut] | None:
        """Split every layer of the list, the devices handed out in order.

        Again until it settles: how many rows a layer sends depends on its width, and what the
        next one must hold on what it receives.
        """
        splits = {
            index: Rows(max(want.width, len(want.data)), want.parity)
            for index, want in wants.items()
        }
        for _ in range(_ROUNDS):
            pool, cuts = list(order), {}
            for index, want in wants.items():
                made = cut(self.costing(splits), want, pool)
                if made is None:
                    return None
                cuts[index] = made
                pool = [device for device in pool if device not in made.devices]
            wants = {i: replace(want, width=len(cuts[i].data)) for i, want in wants.items()}
            before, splits = splits, _rows(cuts)
            if splits == before:
                return cuts
        return None

    def _grouped(
        self,
        wants: Wants,
        cuts: Mapping[int, Cut],
        free: Sequence[Device],
        known: Mapping[str, Device],
    ) -> Iterator[Solution]:
        """Yield the best grouping over the devices that the split layers left, in a few orders."""
        taken = {device.name for made in cuts.values() for device in made.devices}
        costing = self.costing(_rows(cuts))
        splits = {index: stage_cost(costing, made) for index, made in cuts.items()}
        homes = {(start, end): known[name] for start, end, name in self.pinned.homes}
        left = [device for device in free if device.name not in taken]
        for rest in _orders(left, self.measured):
            found = Grouper(costing, self.model.objective, rest, splits, homes).best()
            if found is not None:
                yield Solution(found, cuts, wants)

    def _improved(self, found: Solution, devices: Sequence[Device]) -> Solution:
        """Split a bottleneck, or split it wider, one at a time, as long as that is worthwhile."""
        while True:
            tried = (self._attempt(wants, devices) for wants in self._wider(found, devices))
            best = min(filter(None, tried), key=_score, default=found)
            if best.grouping.score.decisive > found.grouping.score.decisive * WORTHWHILE:
                return found
            found = best

    def _wider(self, found: Solution, devices: Sequence[Device]) -> Iterator[Wants]:
        """Yield what a solution's splits and one split more, or one device more, would be."""
        stages = found.grouping.stages
        if self.model.objective == "throughput":
            stages = (max(stages, key=lambda placed: placed.cost.busiest),)
        for stage in stages:
            if stage.device is not None:
                for index in self._heavy(stage, stage.device, found.grouping.score):
                    yield {**found.wants, index: self._wanted(index, devices)}
            elif not found.wants[stage.start].data:
                width = len(found.cuts[stage.start].data) + 1
                want = replace(found.wants[stage.start], width=width)
                yield {**found.wants, stage.start: want}

    def _heavy(self, stage: Placed, device: Device, score: Score) -> list[int]:
        """Return the layers of a stage whose split may be worthwhile."""
        costing = self.costing({})
        layers = [i for i in range(stage.start, stage.end) if self.splittable(i)]
        if self.model.objective == "throughput":
            return sorted(layers, key=lambda i: costing.speed(i, device))[:1]
        rows, least = Rows(2, self.model.parity), (1 - WORTHWHILE) * score.decisive
        return [i for i in layers if costing.gain(i, rows, device) > least]


def _score(solution: Solution) -> Score:
    return solution.grouping.score


def _rows(cuts: Mapping[int, Cut]) -> dict[int, Rows]:
    """Return how the outputs of split layers travel."""
    return {index: Rows(len(made.data), len(made.parity)) for index, made in cuts.items()}


def _orders(devices: Sequence[Device], measured: Measured) -> list[tuple[Device, ...]]:
    """Return the orders in which to hand out devices, those that differ in name only left out."""
    fastest = fastest_first(devices, measured)
    roomiest = tuple(sorted(fastest, key=lambda device: -device.memory))
    orders = (fastest, fastest[::-1], roomiest, roomiest[::-1], tuple(devices))
    kinds = {tuple(kind(one, measured) for one in order): order for order in reversed(orders)}
    return list(reversed(kinds.values()))
