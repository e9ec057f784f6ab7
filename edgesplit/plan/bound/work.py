"""The work that every allocation must do, by operator: nobody else's shares make it less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import constant_bytes, macs, needs
from edgesplit.plan.bound.floor import Floor
from edgesplit.plan.bound.necessary import Mask, count


@dataclass(frozen=True, slots=True)
class Demand:
    """What the shares of an operator do together at least: arithmetic, and weights read once."""

    macs: float
    weight_bytes: float


@dataclass(frozen=True, slots=True)
class Prices:
    """What a second of each device is worth, and with it work at its cheapest device.

    An operator is worth at least `max(macs * per_mac, weight_bytes * per_byte)`, however it is
    shared out: the sum over its shares of `price * max(...)` is no less.
    """

    seconds: tuple[float, ...]
    per_mac: float
    per_byte: float

    def of(self, demands: Iterable[Demand]) -> float:
        """Return the least that some operators are worth."""
        return sum(max(d.macs * self.per_mac, d.weight_bytes * self.per_byte) for d in demands)


def prices(devices: Iterable[Floor], mixture: float) -> Prices:
    """Price devices by their speed, `mixture` of it in weights and the rest in arithmetic."""
    known = list(devices)
    worth = [
        d.macs_per_second ** (1 - mixture) * d.weight_bytes_per_second**mixture for d in known
    ]
    return Prices(
        seconds=tuple(value / max(worth) for value in worth),
        per_mac=min(v / max(worth) / d.macs_per_second for v, d in zip(worth, known, strict=True)),
        per_byte=min(
            v / max(worth) / d.weight_bytes_per_second for v, d in zip(worth, known, strict=True)
        ),
    )


def demands(graph: Graph, needed: Mapping[str, Mask]) -> dict[str, Demand]:
    """Return what each heavy operator demands, by name; those that no output needs are left out.

    Light operators are no part of it: the gateway may run them, and its arithmetic is free.
    """
    heavy = (node for node in graph.nodes if node.name in graph.heavy)
    return {node.name: _demand(graph, node, needed) for node in heavy if _made(node, needed)}


def _made(node: Node, needed: Mapping[str, Mask]) -> bool:
    return node.outputs[0] in needed and count(needed[node.outputs[0]]) > 0


def _demand(graph: Graph, node: Node, needed: Mapping[str, Mask]) -> Demand:
    out = node.outputs[0]
    mask, whole = needed[out], graph.values[out].region
    position = Region((0,) * whole.rank, (1,) * whole.rank)
    read = needs(graph, [node], {out: whole})
    all_rows = all(axis.all() for axis in mask[:2])
    return Demand(
        macs=float(macs(graph, node, position) * count(mask)),
        weight_bytes=float(constant_bytes(graph, read) if all_rows else 0),
    )
