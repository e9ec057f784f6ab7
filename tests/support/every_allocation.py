"""Every allocation of a chain over a few devices, on a coarse grid of shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, product

from edgesplit.errors import PlanError
from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.check_split import check_split
from edgesplit.plan.publishing import linear_output, map_shape
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec

Cuts = Sequence[tuple[int, int]]


def every_allocation(
    graph: Graph, cluster: Cluster, model: ModelSpec, *, parts: int, grid: int
) -> Iterator[Allocation]:
    """Yield all runs of layers as stages, under all splits, on all devices.

    Args:
        graph: A chain.
        cluster: Its devices, of which each may have any number of shares.
        model: The model's specification.
        parts: Most shares of a stage.
        grid: Cuts lie at multiples of this part of an axis.
    """
    names = [layer.name for layer in graph.layers]
    devices = [device.name for device in cluster.devices]
    made: dict[tuple[str, ...], list[Stage]] = {}
    for count in range(len(names)):
        for inner in combinations(range(1, len(names)), count):
            runs = [tuple(names[a:b]) for a, b in pairwise([0, *inner, len(names)])]
            for run in runs:
                made.setdefault(run, list(_stages(graph, run, devices, parts, grid)))
            for stages in product(*(made[run] for run in runs)):
                yield Allocation(cluster, model, graph.digest, stages)


def _stages(
    graph: Graph, run: tuple[str, ...], devices: list[str], parts: int, grid: int
) -> Iterator[Stage]:
    yield from (Stage(run[0], run, "whole", (Share(device),)) for device in devices)
    drawn = (_output, _input, _spatial)
    for stage in (one for draw in drawn for one in draw(graph, run, devices, parts, grid)):
        try:
            check_split(graph, stage)
        except PlanError:
            continue
        yield stage


def _output(
    graph: Graph, run: tuple[str, ...], devices: list[str], parts: int, grid: int
) -> Iterator[Stage]:
    extent = graph.values[linear_output(graph, run[0])].shape[CHANNELS]
    for shares in _blocks(extent, devices, parts, grid):
        yield Stage(run[0], run, "output", shares)
        yield from (
            Stage(run[0], run, "output", shares, (device,))
            for device in devices
            if device not in {share.device for share in shares}
        )


def _input(
    graph: Graph, run: tuple[str, ...], devices: list[str], parts: int, grid: int
) -> Iterator[Stage]:
    heavy = graph.layer(run[-1]).heavy
    reads = ops.reduces(graph, heavy) if heavy else None
    merged = graph.values[linear_output(graph, run[-1])].shape[CHANNELS]
    merges = [(), *((Share(device, 0, merged),) for device in devices)]
    for shares in _blocks(reads.extent if reads else 0, devices, parts, grid):
        yield from (Stage(run[0], run, "input", shares, merge=merge) for merge in merges)


def _spatial(
    graph: Graph, run: tuple[str, ...], devices: list[str], parts: int, grid: int
) -> Iterator[Stage]:
    shape = map_shape(graph, Stage(run[0], run, "spatial", (Share("", tile=((0, 1), (0, 1))),)))
    if len(shape) != 2:
        return
    height, width = shape
    for cuts in _cuts(height, parts, grid):
        tiles = [(cut, (0, width)) for cut in cuts]
        for owners in product(devices, repeat=len(tiles)):
            shares = [Share(d, tile=tile) for d, tile in zip(owners, tiles, strict=True)]
            yield Stage(run[0], run, "spatial", tuple(shares))


def _blocks(extent: int, devices: list[str], parts: int, grid: int) -> Iterator[tuple[Share, ...]]:
    for cuts in _cuts(extent, parts, grid):
        for owners in product(devices, repeat=len(cuts)):
            yield tuple(Share(d, *cut) for d, cut in zip(owners, cuts, strict=True))


def _cuts(extent: int, parts: int, grid: int) -> Iterator[Cuts]:
    places = [extent * at // grid for at in range(1, grid)]
    for count in range(1, parts):
        for inner in combinations(places, count):
            bounds = [0, *inner, extent]
            if len(set(bounds)) == len(bounds):
                yield list(pairwise(bounds))
