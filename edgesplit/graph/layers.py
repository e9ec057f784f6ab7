"""Grouping of a graph's nodes into layers: a heavy operator with the light ones under it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from edgesplit.graph import ops
from edgesplit.graph.model import Layer, Node, Value

LARGE_CONSTANTS = 1 << 20
"""Bytes of constants from which an operator without a rule begins a layer of its own."""


def arrange(nodes: Sequence[Node], values: Mapping[str, Value]) -> tuple[Node, ...]:
    """Return the nodes in a topological order in which light operators come as early as they can.

    So each follows the heavy operator that feeds it. Ties are broken by the order given.
    """
    waiting, readers = _dependencies(nodes)
    ready = [(is_heavy(nodes[i], values), i) for i, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, i = heapq.heappop(ready)
        order.append(nodes[i])
        for j in readers[i]:
            waiting[j] -= 1
            if waiting[j] == 0:
                heapq.heappush(ready, (is_heavy(nodes[j], values), j))
    return tuple(order)


def group_layers(nodes: Sequence[Node], values: Mapping[str, Value]) -> tuple[Layer, ...]:
    """Return the layers of nodes that are in topological order; every node is in exactly one.

    A layer is a heavy operator and the light ones up to the next; light ones before the first
    heavy one belong to the first layer. No value that can't travel crosses from layer to layer:
    what lies between its maker and its last reader stays together.
    """
    bounds = _bounds(nodes, values)
    return tuple(_layer(nodes[start:stop], values) for start, stop in bounds)


def is_heavy(node: Node, values: Mapping[str, Value]) -> bool:
    """Tell whether the node begins a layer: it works through weights, or holds a subgraph."""
    if node.op in ops.HEAVY or node.captures:
        return True
    return not ops.known(node) and _weight_bytes([node], values) >= LARGE_CONSTANTS


def _dependencies(nodes: Sequence[Node]) -> tuple[list[int], list[list[int]]]:
    """Return how many nodes each one waits for, and which nodes wait for each."""
    maker = {name: i for i, node in enumerate(nodes) for name in node.outputs if name}
    waiting: list[int] = []
    readers: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        makers = {maker[name] for name in node.reads if name in maker}
        waiting.append(len(makers))
        for j in makers:
            readers[j].append(i)
    return waiting, readers


def _bounds(nodes: Sequence[Node], values: Mapping[str, Value]) -> Iterator[tuple[int, int]]:
    heavy = [i for i, node in enumerate(nodes) if is_heavy(node, values)]
    tied = _tied(nodes, values)
    starts = [0, *(i for i in heavy[1:] if i not in tied)]
    return zip(starts, [*starts[1:], len(nodes)], strict=True) if nodes else iter(())


def _tied(nodes: Sequence[Node], values: Mapping[str, Value]) -> set[int]:
    """Return the positions before which no layer may begin."""
    maker: dict[str, int] = {}
    tied: set[int] = set()
    for i, node in enumerate(nodes):
        for name in node.reads:
            if name in maker:
                tied.update(range(maker[name] + 1, i + 1))
        maker.update({out: i for out in node.outputs if out and not values[out].portable})
    return tied


def _layer(nodes: Sequence[Node], values: Mapping[str, Value]) -> Layer:
    heavy = next((node for node in nodes if is_heavy(node, values)), None)
    return Layer(
        name=(heavy or nodes[0]).name,
        heavy=heavy,
        nodes=tuple(nodes),
        macs=sum(_macs(node, values) for node in nodes),
        weight_bytes=_weight_bytes(nodes, values),
    )


def _macs(node: Node, values: Mapping[str, Value]) -> int:
    first = next(filter(None, node.outputs))
    return ops.macs(values, node, values[first].region)


def _weight_bytes(nodes: Iterable[Node], values: Mapping[str, Value]) -> int:
    names = dict.fromkeys(chain.from_iterable(node.reads for node in nodes))
    constants = (values[name] for name in names if values[name].constant)
    return sum(v.region.size * v.itemsize for v in constants)
