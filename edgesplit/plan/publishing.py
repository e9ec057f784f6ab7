"""What a split stage publishes: values that leave it, and the box of each that a share makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgesplit.dataflow.region import Region
from edgesplit.graph.following import CHANNELS, SPACE, in_blocks, in_tiles, leaving
from edgesplit.graph.model import Graph, Node, Value
from edgesplit.plan.allocation import Share, Stage


@dataclass(frozen=True, slots=True)
class Publication:
    """A value and the box that each share makes of it; None where a share makes nothing of it."""

    value: str
    boxes: tuple[Region | None, ...]


def publications(graph: Graph, stage: Stage) -> tuple[Publication, ...]:
    """Return what the shares of an `output` or `spatial` stage make, value by value.

    What the stage's nodes make beyond that is left to those who read it. A stage with parity
    publishes the linear output, whose coded rows are sums of blocks.
    """
    if stage.parity:
        return (_blocks(graph, linear_output(graph, stage.layers[0]), stage.shares),)
    if stage.split == "output":
        return tuple(_blocks(graph, value, stage.shares) for value in _left(graph, stage))
    return _tiles(graph, stage)


def carried(graph: Graph, stage: Stage) -> tuple[Node, ...]:
    """Return the stage's nodes that run under its split."""
    nodes = stage_nodes(graph, stage.layers)
    if stage.split == "output":
        head = graph.layer(stage.layers[0]).heavy
        extent = graph.values[linear_output(graph, stage.layers[0])].shape[CHANNELS]
        return in_blocks(graph, nodes, [n for n in nodes if n == head or _alike(graph, n, extent)])
    return in_tiles(graph, nodes, cut_axes(stage.shares))


def stage_nodes(graph: Graph, layers: Sequence[str]) -> tuple[Node, ...]:
    """Return the nodes of these layers in topological order."""
    inside = {node.name for layer in layers for node in graph.layer(layer).nodes}
    return tuple(node for node in graph.nodes if node.name in inside)


def linear_output(graph: Graph, layer: str) -> str:
    """Return what a layer's heavy operator makes, before its activation."""
    heavy = graph.layer(layer).heavy
    assert heavy is not None  # noqa: S101 - split layers have one, it is checked
    return heavy.outputs[0]


def cut_axes(shares: Sequence[Share]) -> tuple[int, ...]:
    """Return the axes on which tiles differ; all spatial ones where there is only one tile."""
    columns = list(zip(*(share.tile for share in shares), strict=True))
    cut = [axis for axis, bounds in enumerate(columns, start=SPACE) if len(set(bounds)) > 1]
    return tuple(cut or range(SPACE, SPACE + len(columns)))


def map_shape(graph: Graph, stage: Stage) -> tuple[int, ...]:
    """Return the extents of the map that a spatial stage's tiles are tiles of; () if there is none.

    It is the last value that leaves what can run in tiles.
    """
    left = _left(graph, stage)
    return graph.values[left[-1]].shape[SPACE:] if left else ()


def _left(graph: Graph, stage: Stage) -> tuple[str, ...]:
    return leaving(graph, carried(graph, stage))


def _alike(graph: Graph, node: Node, extent: int) -> bool:
    """Tell whether a heavy operator beside the first may be cut in the same blocks."""
    shape = graph.values[node.outputs[0]].shape
    return node.name in graph.heavy and len(shape) > CHANNELS and shape[CHANNELS] == extent


def _blocks(graph: Graph, value: str, shares: Sequence[Share]) -> Publication:
    whole = graph.values[value].region
    return Publication(value, tuple(whole.with_axis(CHANNELS, s.lo, s.hi) for s in shares))


def _tiles(graph: Graph, stage: Stage) -> tuple[Publication, ...]:
    values = [graph.values[name] for name in _left(graph, stage)]
    shape = values[-1].shape[SPACE:] if values else ()
    return tuple(
        Publication(value.name, tuple(_tile(value, share, shape) for share in stage.shares))
        for value in values
    )


def _tile(value: Value, share: Share, shape: tuple[int, ...]) -> Region | None:
    """Return the tile of a value whose map may have other extents than the stage's."""
    box = value.region
    for axis, (bounds, extent) in enumerate(zip(share.tile, shape, strict=True), start=SPACE):
        lo, hi = (_scaled(cut, extent, value.shape[axis]) for cut in bounds)
        if lo >= hi:
            return None
        box = box.with_axis(axis, lo, hi)
    return box


def _scaled(cut: int, extent: int, other: int) -> int:
    """Return a cut of one extent in another, rounded; cuts keep their order."""
    return cut if extent == other else (2 * cut * other + extent) // (2 * extent)


def rows(made: Publication) -> Iterator[tuple[int, Region]]:
    """Yield the boxes that are made, each with the index of its share."""
    for index, box in enumerate(made.boxes):
        if box is not None:
            yield index, box
