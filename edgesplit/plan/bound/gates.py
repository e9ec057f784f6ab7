"""Gates: operators that all of a model passes through, and that need all of what comes before."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass
from math import prod

from edgesplit.graph.following import SPACE
from edgesplit.graph.model import Graph, Node, Value


@dataclass(frozen=True, slots=True)
class Passage:
    """A model in the order in which its gates let it pass.

    `gates` are names of heavy operators, `bodies` the names of the other heavy ones: those before
    the first gate, between each two, behind the last.
    """

    gates: tuple[str, ...]
    bodies: tuple[tuple[str, ...], ...]


def passage(graph: Graph, heavy: Collection[str]) -> Passage:
    """Return the gates among the heavy operators that outputs need, and what lies between."""
    gates: list[str] = []
    bodies: list[tuple[str, ...]] = []
    left = [node.name for node in graph.nodes if node.name in heavy]
    for node in graph.nodes:
        if node.name not in left or not _gathers(graph, node):
            continue
        behind = _behind(graph, node)
        if _separates(graph, node, behind):
            bodies.append(tuple(n for n in left if n != node.name and n not in behind))
            left = [name for name in left if name in behind]
            gates.append(node.name)
    return Passage(tuple(gates), (*bodies, tuple(left)))


def _gathers(graph: Graph, node: Node) -> bool:
    """Tell whether every element of the output needs all of the one activation that is read."""
    values = [graph.values[name] for name in node.reads]
    if sum(not value.constant for value in values) != 1 or values[0].constant:
        return False
    out = graph.values[node.outputs[0]].shape
    match node.op:
        case "Gemm":
            return not node.attributes.get("transA", 0) and out[0] == 1
        case "MatMul":
            return len(values[0].shape) > 1 and prod(out[:-1]) == 1
        case "Conv":
            return node.attributes.get("group", 1) == 1 and _one_point(values[0], out)
    return False


def _one_point(value: Value, out: tuple[int, ...]) -> bool:
    """Tell whether a convolution is a fully connected layer: a map of one point makes another."""
    return prod(value.shape[SPACE:]) == 1 and prod(out[SPACE:]) == 1


def _behind(graph: Graph, gate: Node) -> set[str]:
    """Return the names of the nodes that need what the gate makes."""
    values, found = {*gate.outputs}, set[str]()
    for node in graph.nodes:
        if not values.isdisjoint(node.reads):
            found.add(node.name)
            values.update(node.outputs)
    return found


def _separates(graph: Graph, gate: Node, behind: Container[str]) -> bool:
    """Tell whether no value, and no output, passes by the gate."""
    made = set(_made(graph, gate, behind))
    return {port.name for port in graph.outputs} <= made and all(
        graph.values[name].constant or name in made
        for node in graph.nodes
        if node.name in behind
        for name in node.reads
    )


def _made(graph: Graph, gate: Node, behind: Container[str]) -> Iterator[str]:
    for node in graph.nodes:
        if node is gate or node.name in behind:
            yield from node.outputs
