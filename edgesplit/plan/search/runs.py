"""Runs: consecutive layers as one stage, under every split that they allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS
from edgesplit.graph.model import Graph
from edgesplit.graph.slicing import Partial
from edgesplit.plan.allocation import Split
from edgesplit.plan.publishing import linear_output
from edgesplit.plan.search.anatomy import Anatomy, Form, form
from edgesplit.plan.search.demands import Demand, Walk
from edgesplit.plan.search.layouts import Layout, Parts
from edgesplit.plan.search.steps import Steps
from edgesplit.plan.splittable import why_not_split

LONGEST = 12
"""Layers in a fused run."""

WASTE = 2.0
"""How many times its part of the arithmetic a share of a fused run may do."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The layers `[start, end)` as one stage.

    `layout` is that of its shares, `after` that of what it publishes: another one where partial
    sums are merged. `demands` are those of the shares that may decide.
    """

    start: int
    end: int
    split: Split
    layout: Layout
    after: Layout
    demands: tuple[Demand, ...]


@dataclass(frozen=True)
class Runs:
    """All runs of a model, by the layout of their shares; computed once each.

    `forced` are layers to be cut on channels even where that can't pay.
    """

    graph: Graph
    parts: Parts
    window: int
    forced: frozenset[int] = frozenset()
    _seen: dict[Layout, tuple[Run, ...]] = field(default_factory=dict, compare=False)

    @cached_property
    def anatomy(self) -> Anatomy:
        """What the layers allow."""
        return Anatomy(self.graph)

    @cached_property
    def steps(self) -> Steps:
        """What its operators ask for boxes."""
        return Steps(self.graph)

    def under(self, layout: Layout) -> tuple[Run, ...]:
        """Return the runs whose shares lie in a layout."""
        if layout not in self._seen:
            made = {"whole": self._whole, "tiles": self._tiles, "blocks": self._blocks}
            self._seen[layout] = tuple(made.get(layout.kind, self._sums)(layout))
        return self._seen[layout]

    def _whole(self, layout: Layout) -> Iterator[Run]:
        """Yield the shortest runs between cuts; longer ones are rows of them."""
        (device,) = layout.devices
        ends = [0, *self._ends()]
        for start, end in pairwise(ends):
            walk = Walk(self.steps, self.parts.profiles[device])
            for index in range(end - 1, start - 1, -1):
                for name in self.anatomy.leaving(index, end, form(layout)):
                    walk.want(name, self.graph.values[name].region)
                walk.back(self.graph.layers[index].nodes)
            demand = walk.demand(0, device, start, self.anatomy.home, self.window)
            yield Run(start, end, "whole", layout, layout, (demand,))

    def _tiles(self, layout: Layout) -> Iterator[Run]:
        for end in self._ends():
            if self._tileable(end - 1, layout):
                yield from self._fused(layout, end)

    def _fused(self, layout: Layout, end: int) -> Iterator[Run]:
        """Yield the runs that end before a layer, longer and longer ones."""
        under, walks, whole = form(layout), dict[int, Walk](), 0.0
        for start in range(end - 1, max(-1, end - 1 - LONGEST), -1):
            if start < end - 1 and not self._goes_on(start, layout):
                return
            names = list(self.anatomy.leaving(start, end, under))
            if not walks:
                shape = self.graph.values[names[-1]].shape
                walks = {
                    place: Walk(self.steps, self.parts.profiles[layout.devices[place]])
                    for place in self._probes(layout, shape)
                }
            for place, walk in walks.items():
                for name in names:
                    walk.want(name, self._part(layout, name)[place])
                walk.back(self.graph.layers[start].nodes)
            whole += self.graph.layers[start].macs
            if min(walk.macs for walk in walks.values()) * len(layout.devices) > WASTE * whole > 0:
                return
            if self.anatomy.cuts[start]:
                yield self._run(start, end, "spatial", layout, walks)

    def _goes_on(self, index: int, layout: Layout) -> bool:
        return self._tileable(index, layout) and self.anatomy.complete(index, form(layout))

    def _tileable(self, index: int, layout: Layout) -> bool:
        """Tell whether a layer's values lie in these tiles."""
        under = form(layout)
        return self.anatomy.possible(index, under) and all(
            self.parts.of(layout, self.graph.values[name].shape) is not None
            for node in self.anatomy.carried(index, under)
            for name in node.outputs
        )

    def _blocks(self, layout: Layout) -> Iterator[Run]:
        for start in range(len(self.anatomy)):
            layer = self.graph.layers[start]
            if not self.anatomy.cuts[start] or why_not_split(self.graph, layer):
                continue
            for end in range(start + 1, len(self.anatomy) + 1):
                if end > start + 1 and (layout.parity or not self._block_follows(end - 1)):
                    break
                gathered = self._gathered(start)
                worthwhile = self._pays(layout, gathered, start, end)
                if worthwhile and self.anatomy.cuts[end] and self._cut(layout, start, end):
                    yield self._block_run(start, end, layout)

    def _block_follows(self, index: int) -> bool:
        under: Form = ("blocks", False)
        return self.anatomy.complete(index - 1, under) and self.anatomy.follows(index)

    def _cut(self, layout: Layout, start: int, end: int) -> bool:
        values = (n for i in range(start, end) for n in self._block_values(layout, i, end))
        shapes = [self.graph.values[name].shape for name in values]
        same = len({shape[CHANNELS] for shape in shapes if len(shape) > CHANNELS}) == 1
        return same and all(self.parts.of(layout, shape) for shape in shapes)

    def _block_run(self, start: int, end: int, layout: Layout) -> Run:
        first = linear_output(self.graph, self.graph.layers[start].name)
        walks = self._walks(layout, self.graph.values[first].shape)
        for place, walk in walks.items():
            for index in range(end - 1, start - 1, -1):
                for name in self._block_values(layout, index, end):
                    walk.want(name, self._part(layout, name)[place])
                walk.back(self.graph.layers[index].nodes)
        return self._run(start, end, "output", layout, walks)

    def _block_values(self, layout: Layout, index: int, end: int) -> Iterator[str]:
        if layout.parity:
            yield linear_output(self.graph, self.graph.layers[index].name)
        else:
            yield from self.anatomy.leaving(index, end, form(layout))

    def _sums(self, layout: Layout) -> Iterator[Run]:
        """Yield one layer cut on its input, and that with the one before, whose blocks it takes."""
        for end in self._ends():
            heavy = self.graph.layers[end - 1].heavy
            reads = ops.reduces(self.graph, heavy) if heavy else None
            if heavy is None or reads is None or not self.graph.values[heavy.outputs[0]].portable:
                continue
            if not self._pays(layout, heavy.outputs, end - 1, end):
                continue
            matrix = heavy.op != "Conv"
            cuts = self.parts.channels(layout.devices, reads.extent, matrix=matrix)
            for start in (end - 1, end - 2) if cuts else ():
                pair = start < end - 1
                if start >= 0 and self.anatomy.cuts[start] and (not pair or self._feeds(start)):
                    run = self._sum_run(start, end, layout, cuts or ())
                    yield from (replace(run, after=after) for after in _after_sums(layout))

    def _gathered(self, index: int) -> list[str]:
        """Return what every block of a layer needs whole."""
        heavy = self.graph.layers[index].heavy
        names = heavy.reads if heavy else ()
        return [name for name in names if not self.graph.values[name].constant]

    def _pays(self, layout: Layout, moved: Iterable[str], start: int, end: int) -> bool:
        """Tell whether values go over a link in less time than a device alone takes for layers."""
        if start in self.forced:
            return True
        device = self.parts.devices[layout.devices[0]]
        profile = self.parts.profiles[layout.devices[0]]
        layers = self.graph.layers[start:end]
        alone = sum(profile.compute(layer.macs, layer.weight_bytes) for layer in layers)
        values = (self.graph.values[name] for name in moved)
        nbytes = sum(value.region.size * value.wire_itemsize for value in values)
        return nbytes < alone * device.link.bandwidth

    def _feeds(self, index: int) -> bool:
        """Tell whether all that a layer makes goes into the sum of the next one only."""
        layer, summed = self.graph.layers[index], self.graph.layers[index + 1].heavy
        made = [name for node in layer.nodes for name in filter(None, node.outputs)]
        readers = (reader for name in made for reader in self.graph.consumers[name])
        return all(self.anatomy.last[name] <= index + 1 for name in made) and all(
            reader == summed or reader in layer.nodes for reader in readers
        )

    def _sum_run(
        self, start: int, end: int, layout: Layout, cuts: Sequence[tuple[int, int]]
    ) -> Run:
        value = linear_output(self.graph, self.graph.layers[end - 1].name)
        node = self.graph.producer[value]
        walks = {}
        for place in self._kinds(layout, range(len(cuts))):
            part = Partial(node.name, *cuts[place], first=place == 0)
            walk = walks[place] = Walk(self.steps, self.parts.profiles[layout.devices[place]], part)
            walk.want(value, self.graph.values[value].region)
            for index in range(end - 1, start - 1, -1):
                walk.back(self.graph.layers[index].nodes)
        return self._run(start, end, "input", layout, walks)

    def _ends(self) -> Iterator[int]:
        return (end for end in range(1, len(self.anatomy) + 1) if self.anatomy.cuts[end])

    def _part(self, layout: Layout, name: str) -> tuple[Region, ...]:
        parts = self.parts.of(layout, self.graph.values[name].shape)
        assert parts is not None  # noqa: S101 - asked for values that lie in the layout only
        return parts

    def _walks(self, layout: Layout, shape: tuple[int, ...]) -> dict[int, Walk]:
        return {
            place: Walk(self.steps, self.parts.profiles[layout.devices[place]])
            for place in self._probes(layout, shape)
        }

    def _probes(self, layout: Layout, shape: tuple[int, ...]) -> list[int]:
        """Return the places whose shares may take longest, of each kind of device.

        Those are the largest part, and the one with the most neighbours, whose halos are widest:
        the last of these, since steps of a stride are counted from where a map begins.
        """
        parts = self.parts.of(layout, shape) or ()

        def weight(place: int) -> tuple[int, int]:
            box = parts[place]
            inner = sum(lo > 0 for lo in box.lo)
            return box.size, inner + sum(a < b for a, b in zip(box.hi, shape, strict=True))

        largest = sorted(range(len(parts)), key=weight, reverse=True)
        inmost = sorted(largest, key=lambda place: (weight(place)[::-1], place), reverse=True)
        found = (*self._kinds(layout, largest), *self._kinds(layout, inmost))
        return list(dict.fromkeys(found))

    def _kinds(self, layout: Layout, places: Sequence[int]) -> list[int]:
        """Return the first place of each kind of device."""
        first: dict[object, int] = {}
        for place in places:
            index = layout.devices[place]
            kind = (self.parts.profiles[index], self.parts.devices[index].link)
            first.setdefault(kind, place)
        return list(first.values())

    def _run(
        self, start: int, end: int, split: Split, layout: Layout, walks: dict[int, Walk]
    ) -> Run:
        demands = tuple(
            walk.demand(place, layout.devices[place], start, self.anatomy.home, self.window)
            for place, walk in walks.items()
        )
        return Run(start, end, split, layout, layout, demands)


def _after_sums(layout: Layout) -> Iterator[Layout]:
    """Yield who may add partial sums: their readers, the first device, or all in blocks."""
    yield layout
    yield Layout("blocks", layout.devices[:1])
    yield Layout("blocks", layout.devices)
