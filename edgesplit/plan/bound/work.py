"""The work that every allocation must do, operator by operator, however it is shared out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgesplit.cost.kernel import Kernel, kernel
from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import constant_bytes, macs, needs
from edgesplit.plan.bound.floor import Floor, Line
from edgesplit.plan.bound.necessary import Mask, count


@dataclass(frozen=True, slots=True)
class Demand:
    """What the shares of an operator do together at least.

    Its multiply-accumulates, bytes of weights read once, bytes of output, and the `operator` whole.
    """

    macs: float
    weight_bytes: float
    made_bytes: float
    operator: Kernel

    def seconds(self, line: Line) -> float:
        """Return the least that all shares together take on devices of this line."""
        arithmetic = self.macs * line.mac + self.weight_bytes * line.weight
        return arithmetic + self.made_bytes * line.made + line.start


@dataclass(frozen=True)
class Prices:
    """What a second of each device is worth, and of each kind of device.

    Work is then worth at least what it would be if each part of it were where it is cheapest.
    """

    seconds: Sequence[float]
    kinds: Sequence[tuple[Floor, float]]
    _seen: dict[Kernel, tuple[Line, ...]] = field(default_factory=dict, compare=False)

    def of(self, demands: Iterable[Demand]) -> float:
        """Return the least that operators are worth."""
        return sum(max(map(demand.seconds, self._lines(demand.operator))) for demand in demands)

    def _lines(self, operator: Kernel) -> tuple[Line, ...]:
        if operator not in self._seen:
            lines = [[_times(line, p) for line in d.lines(operator)] for d, p in self.kinds]
            self._seen[operator] = tuple(map(_least, zip(*lines, strict=True)))
        return self._seen[operator]


def prices(devices: Sequence[Floor], mixture: float) -> Prices:
    """Price devices by their speed, `mixture` of it in weights and the rest in arithmetic.

    The dearest device's second is worth 1.
    """
    profiles = [device.profile for device in devices]
    worth = [
        p.macs_per_second ** (1 - mixture) * p.weight_bytes_per_second**mixture for p in profiles
    ]
    seconds = [value / max(worth) for value in worth]
    return Prices(seconds, tuple(dict.fromkeys(zip(devices, seconds, strict=True))))


def demands(graph: Graph, needed: Mapping[str, Mask]) -> dict[str, Demand]:
    """Return what each heavy operator demands, by name; those that no output needs are left out.

    Light operators are no part of it: the gateway may run them, and its arithmetic is free.
    """
    heavy = (node for node in graph.nodes if node.name in graph.heavy)
    return {
        node.name: _demand(graph, node, needed[node.outputs[0]])
        for node in heavy
        if node.outputs[0] in needed and count(needed[node.outputs[0]])
    }


def _demand(graph: Graph, node: Node, mask: Mask) -> Demand:
    out = graph.values[node.outputs[0]]
    element = Region((0,) * len(out.shape), (1,) * len(out.shape))
    read = needs(graph, [node], {out.name: out.region})
    weights = constant_bytes(graph, read)
    work = float(macs(graph, node, element) * count(mask))
    return Demand(
        macs=work,
        weight_bytes=float(weights if all(axis.all() for axis in mask[:2]) else 0),
        made_bytes=float(count(mask) * out.itemsize),
        operator=kernel(graph, node, read, work, weights),
    )


def _times(line: Line, price: float) -> Line:
    return Line(line.mac * price, line.weight * price, line.made * price, line.start * price)


def _least(lines: Iterable[Line]) -> Line:
    """Return what each part costs where it is cheapest."""
    known = list(lines)
    return Line(
        min(line.mac for line in known),
        min(line.weight for line in known),
        min(line.made for line in known),
        min(line.start for line in known),
    )
