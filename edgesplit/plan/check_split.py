"""Checks of a stage's split: that it is possible, and that its shares are all of the work, once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from edgesplit.errors import PlanError
from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS, leaving
from edgesplit.graph.model import Graph
from edgesplit.graph.slicing import closure
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.generators import coefficients
from edgesplit.plan.publishing import carried, linear_output, map_shape, publications, stage_nodes
from edgesplit.plan.splittable import channels, why_not_coded, why_not_split


def check_split(graph: Graph, stage: Stage) -> None:
    """Refuse a stage whose split its layers don't allow.

    Raises:
        PlanError: The split is impossible there, or blocks or tiles overlap or leave gaps.
    """
    if stage.parity and stage.split != "output":
        raise wrong(stage, f"a stage split by {stage.split} has no parity")
    if stage.merge and stage.split != "input":
        raise wrong(stage, f"a stage split by {stage.split} merges nothing")
    match stage.split:
        case "whole":
            if len(stage.shares) != 1:
                raise wrong(stage, "a whole stage has one device")
        case "output":
            _check_output(graph, stage)
        case "input":
            _check_input(graph, stage)
        case "spatial":
            _check_spatial(graph, stage)


def _check_output(graph: Graph, stage: Stage) -> None:
    layer = graph.layer(stage.layers[0])
    reason = why_not_split(graph, layer) or (stage.parity and why_not_coded(graph, layer))
    if reason:
        raise wrong(stage, f"it can't be split: {reason}")
    _check_blocks(stage, stage.shares, channels(graph, layer), "channels")
    if stage.parity:
        if len(stage.layers) != 1:
            raise wrong(stage, "a stage with parity holds exactly one layer")
        coefficients(len(stage.shares), len(stage.parity))
    else:
        _check_carried(graph, stage)


def _check_input(graph: Graph, stage: Stage) -> None:
    heavy = graph.layer(stage.layers[-1]).heavy
    reads = ops.reduces(graph, heavy) if heavy is not None else None
    if reads is None:
        raise wrong(stage, f"{stage.layers[-1]} makes no sum that can be cut on its input")
    _check_blocks(stage, stage.shares, reads.extent, "input channels")
    _check_summed(graph, stage)
    if stage.merge:
        shape = graph.values[linear_output(graph, stage.layers[-1])].shape
        _check_blocks(stage, stage.merge, shape[CHANNELS], "merged channels")


def _check_spatial(graph: Graph, stage: Stage) -> None:
    ranks = {len(share.tile) for share in stage.shares}
    if len(ranks) != 1 or ranks == {0}:
        raise wrong(stage, "every share of a spatial stage has a tile of the same map")
    shape = map_shape(graph, stage)
    if not shape:
        raise wrong(stage, "nothing of it can run in tiles")
    if ranks != {len(shape)}:
        raise wrong(stage, f"its map has {len(shape)} axes, its tiles {ranks.pop()}")
    _check_carried(graph, stage)
    _check_tiles(stage, shape)
    published = publications(graph, stage)
    for index, share in enumerate(stage.shares):
        if all(made.boxes[index] is None for made in published):
            raise wrong(stage, f"the tile of {share.device} has nothing of any map")


def _check_carried(graph: Graph, stage: Stage) -> None:
    """Every heavy operator runs under the split: one left undone would run with every reader."""
    inside = carried(graph, stage)
    for node in stage_nodes(graph, stage.layers):
        if node not in inside and node.name in graph.heavy:
            kind = "tiles" if stage.split == "spatial" else "blocks"
            raise wrong(stage, f"{node.op} {node.name} can't go on in {kind}")


def _check_summed(graph: Graph, stage: Stage) -> None:
    """Every heavy operator is for the sum alone: another reader would have to run it again."""
    nodes = stage_nodes(graph, stage.layers)
    made = {name for node in nodes for name in node.outputs}
    published = {*graph.values} - made | {linear_output(graph, stage.layers[-1])}
    for node in closure(graph, leaving(graph, nodes), published):
        if node.name in graph.heavy:
            raise wrong(stage, f"{node.op} {node.name} is not only for the sum")


def _check_blocks(stage: Stage, shares: Sequence[Share], count: int, what: str) -> None:
    ends = [bound for share in shares for bound in (share.lo, share.hi)]
    tiled = ends[0] == 0 and ends[-1] == count and ends[1:-1:2] == ends[2:-1:2]
    if not tiled or any(share.lo >= share.hi for share in shares):
        raise wrong(stage, f"its blocks don't tile the {what} 0 to {count}")


def _check_tiles(stage: Stage, shape: tuple[int, ...]) -> None:
    tiles = [share.tile for share in stage.shares]
    inside = all(
        0 <= lo < hi <= extent
        for tile in tiles
        for (lo, hi), extent in zip(tile, shape, strict=True)
    )
    covered = sum(prod(hi - lo for lo, hi in tile) for tile in tiles) == prod(shape)
    apart = not any(
        _overlap(one, other) for index, one in enumerate(tiles) for other in tiles[:index]
    )
    if not (inside and covered and apart):
        extents = " x ".join(map(str, shape))
        raise wrong(stage, f"its tiles don't cover the map of {extents} once")


def _overlap(one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(max(a, c) < min(b, d) for (a, b), (c, d) in pairs)


def wrong(stage: Stage, what: str) -> PlanError:
    """Return the error of a stage that an allocation file has wrong."""
    return PlanError(what, where=f"stage {stage.name}", remedy="mend it, or plan again")
