"""A graph's layers in order, and what crosses from one run of them to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from operator import add

from edgesplit.cost.work import Work, layer_work, nbytes
from edgesplit.graph.model import Graph


@dataclass(frozen=True, slots=True)
class Traffic:
    """What crosses a boundary for one request: bytes of bodies, and number of messages."""

    nbytes: float = 0
    messages: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.nbytes + other.nbytes, self.messages + other.messages)


@dataclass(frozen=True, slots=True)
class Rows:
    """How a split layer's output travels: in `data` blocks and `parity` coded rows."""

    data: int
    parity: int = 0


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A value on its way: made by layer `home` (-1: a request), last read by layer `last`.

    `readers` are layers in order; the answer reads as the layer behind the last one. `nbytes` are
    those of the value where it waits.
    """

    home: int
    readers: tuple[int, ...]
    traffic: Traffic
    portable: bool
    nbytes: float

    @property
    def last(self) -> int:
        return self.readers[-1]


@dataclass(frozen=True)
class Chain:
    """Layers in execution order; `splits` tells which of them are split, by index."""

    graph: Graph
    splits: Mapping[int, Rows] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.graph.layers)

    @cached_property
    def alone(self) -> tuple[Work, ...]:
        """The work of each layer on a device that holds nothing else."""
        return tuple(layer_work(self.graph, layer) for layer in self.graph.layers)

    @cached_property
    def works(self) -> tuple[Work, ...]:
        """The work of each layer, with the activations that only pass by counted as alive."""
        return tuple(
            replace(work, live=work.live + self._passing(index))
            for index, work in enumerate(self.alone)
        )

    @cached_property
    def arriving(self) -> tuple[tuple[Traffic, ...], ...]:
        """What the run `[i, j)` of layers receives, as `arriving[i][j]`."""
        return tuple(self._arriving(start) for start in range(len(self)))

    @cached_property
    def leaving(self) -> tuple[tuple[Traffic, ...], ...]:
        """What the run `[i, j)` of layers sends to later ones or to the gateway."""
        columns = [self._leaving(end) for end in range(len(self) + 1)]
        return tuple(
            tuple(columns[end][start] for end in range(len(self) + 1)) for start in range(len(self))
        )

    @cached_property
    def cuts(self) -> tuple[bool, ...]:
        """Whether a stage may begin at layer `i`: only values that can travel cross there."""
        stuck = [crossing for crossing in self._crossings if not crossing.portable]
        return tuple(
            not any(crossing.home < index <= crossing.last for crossing in stuck)
            for index in range(len(self) + 1)
        )

    def work(self, start: int, end: int) -> Work:
        """Return the work of the run `[start, end)`."""
        works = self.works[start:end]
        return Work(
            sum(work.macs for work in works),
            sum(work.mapped for work in works),
            sum(work.copied for work in works),
            max(work.live for work in works),
            max(work.largest for work in works),
        )

    def _passing(self, index: int) -> float:
        return sum(
            crossing.nbytes
            for crossing in self._crossings
            if 0 <= crossing.home < index < crossing.last
        )

    def _arriving(self, start: int) -> tuple[Traffic, ...]:
        steps = [Traffic()] * (len(self) + 2)
        for crossing in self._crossings:
            reader = next((at for at in crossing.readers if at >= start), None)
            if crossing.home < start and reader is not None:
                steps[reader + 1] += crossing.traffic
        return tuple(accumulate(steps, add))

    def _leaving(self, end: int) -> tuple[Traffic, ...]:
        steps = [Traffic()] * (len(self) + 1)
        for crossing in self._crossings:
            if 0 <= crossing.home < end <= crossing.last:
                steps[crossing.home] += crossing.traffic
        return tuple(accumulate(reversed(steps), add))[::-1]

    @cached_property
    def _crossings(self) -> tuple[_Crossing, ...]:
        return tuple(self._found())

    def _found(self) -> Iterator[_Crossing]:
        for name, home in self._homes.items():
            readers = {self._layer_of[n.name] for n in self.graph.consumers.get(name, ())}
            if any(port.name == name for port in self.graph.outputs):
                readers.add(len(self))
            later = tuple(sorted(at for at in readers if at > home))
            if later:
                traffic, value = self._traffic(name, home), self.graph.values[name]
                size = max(traffic.nbytes, nbytes(value))
                yield _Crossing(home, later, traffic, value.portable, size)

    def _traffic(self, name: str, home: int) -> Traffic:
        rows = self.splits.get(home, Rows(1))
        heavy = self.graph.layers[home].heavy if home >= 0 else None
        if rows.parity and heavy is not None:
            name = heavy.outputs[0]
        value = self.graph.values[name]
        # Coded rows travel in full.
        itemsize = value.itemsize if rows.parity else value.wire_itemsize
        size = value.region.size * itemsize
        return Traffic(size * (rows.data + rows.parity) / rows.data, rows.data + rows.parity)

    @cached_property
    def _homes(self) -> Mapping[str, int]:
        homes = {port.name: -1 for port in self.graph.inputs}
        for index, layer in enumerate(self.graph.layers):
            homes |= dict.fromkeys(_names(node.outputs for node in layer.nodes), index)
        return homes

    @cached_property
    def _layer_of(self) -> Mapping[str, int]:
        layers = enumerate(self.graph.layers)
        return {node.name: index for index, layer in layers for node in layer.nodes}


def _names(lists: Iterable[tuple[str, ...]]) -> Iterator[str]:
    return (name for names in lists for name in names if name)
