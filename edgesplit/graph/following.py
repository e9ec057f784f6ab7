"""Following a split: which operators go on in blocks or tiles, so that nothing is merged first."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import pairwise

from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Node, Value

CHANNELS = 1
"""The axis of channels, and of the rows of a fully connected layer."""
SPACE = 2
"""The first spatial axis."""

Follows = Callable[[Node, frozenset[str]], bool]
"""Whether a node goes on under the split, given which of the values it reads are split."""


def in_blocks(graph: Graph, nodes: Sequence[Node], heads: Container[Node]) -> tuple[Node, ...]:
    """Return the nodes that a split on output channels carries through.

    Args:
        graph: The model.
        nodes: The nodes of a stage, in topological order.
        heads: Those whose output channels are cut; a node behind them goes on where a block of
            its channels needs the same block of every split value that it reads.
    """

    def follows(node: Node, split: frozenset[str]) -> bool:
        if not split:
            return node in heads
        return all(follows_channels(graph, node, value) for value in split)

    return _carried(nodes, follows)


def in_tiles(graph: Graph, nodes: Sequence[Node], axes: Sequence[int]) -> tuple[Node, ...]:
    """Return the nodes that a split on these spatial axes carries through.

    Those are the ones that make a tile of their output from a box of what they read, and whose
    output still has the axes. A node behind one that doesn't is left to whoever reads it.
    """
    return _carried(nodes, lambda node, _: keeps_tiles(graph, node, axes))


def leaving(graph: Graph, inside: Sequence[Node]) -> tuple[str, ...]:
    """Return the values made inside that somebody outside reads, the model's caller included."""
    names, ports = {node.name for node in inside}, {port.name for port in graph.outputs}
    return tuple(
        value
        for node in inside
        for value in node.outputs
        if value in ports
        or any(reader.name not in names for reader in graph.consumers.get(value, ()))
    )


def follows_channels(graph: Graph, node: Node, value: str) -> bool:
    """Tell whether a block `[a, b)` of axis 1 of the output needs that same block of `value`.

    Found by asking the arithmetic for several blocks, so it holds for any operator that has a
    rule. Rank and extent of axis 1 must be kept.
    """
    source, target = graph.values[value], graph.values[node.outputs[0]]
    if len(source.shape) <= CHANNELS or len(source.shape) != len(target.shape):
        return False
    extent = source.shape[CHANNELS]
    return target.shape[CHANNELS] == extent and all(
        _keeps_block(graph, node, value, *block) for block in _probes(extent)
    )


def keeps_tiles(graph: Graph, node: Node, axes: Sequence[int]) -> bool:
    """Tell whether a node makes any tile on these axes of any output without making all of it."""
    return all(_tiled(graph, node, graph.values[name], axes) for name in node.outputs if name)


def _carried(nodes: Sequence[Node], follows: Follows) -> tuple[Node, ...]:
    split: set[str] = set()
    merged: set[str] = set()
    carried = []
    for node in nodes:
        inside = split.intersection(node.reads)
        behind = not merged.isdisjoint(node.reads)
        if not behind and follows(node, frozenset(inside)):
            carried.append(node)
            split.update(node.outputs)
        elif behind or inside:
            merged.update(node.outputs)
    return tuple(carried)


def _probes(extent: int) -> set[tuple[int, int]]:
    """Return blocks that show how an axis is treated: at both ends, and between."""
    cuts = sorted({0, 1, extent // 3, extent // 2, extent - 1, extent})
    return {(lo, hi) for lo, hi in pairwise(cuts) if hi - lo < extent}


def _keeps_block(graph: Graph, node: Node, value: str, lo: int, hi: int) -> bool:
    out = node.outputs[0]
    step = ops.step(graph, node, {out: graph.values[out].region.with_axis(CHANNELS, lo, hi)})
    boxes = [*(box for name, box in step.needs(node) if name == value), step.produced[out]]
    return all((box.lo[CHANNELS], box.hi[CHANNELS]) == (lo, hi) for box in boxes)


def _tiles(whole: Region, axis: int) -> Iterator[Region]:
    for lo, hi in _probes(whole.hi[axis]):
        yield whole.with_axis(axis, lo, hi)


def _tiled(graph: Graph, node: Node, target: Value, axes: Sequence[int]) -> bool:
    if len(target.shape) <= max(axes) or not target.portable:
        return False
    return all(target.shape[axis] > 1 for axis in axes) and not any(
        _made_of(graph, node, target, tile).slices[axis] == target.region.slices[axis]
        for axis in axes
        for tile in _tiles(target.region, axis)
    )


def _made_of(graph: Graph, node: Node, target: Value, tile: Region) -> Region:
    """Return the box that a node makes where a tile of one of its outputs is wanted."""
    return ops.step(graph, node, {target.name: tile}).produced[target.name]
