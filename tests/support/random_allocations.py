"""Random valid allocations: layers in random runs, each under a random split that it allows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

from hypothesis import strategies as st

from edgesplit.errors import PlanError
from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.check_split import check_split
from edgesplit.plan.publishing import linear_output, map_shape
from edgesplit.spec.cluster import Cluster, Link
from edgesplit.spec.model import ModelSpec, Source

Cuts = list[tuple[int, int]]


@st.composite
def allocations(draw: st.DrawFn, graph: Graph, devices: int) -> Allocation:
    """Draw an allocation of a graph over at most so many devices, d0, d1, ..."""
    stages = []
    names = [layer.name for layer in graph.layers]
    while names:
        run = names[: draw(st.integers(1, min(len(names), 4)))]
        stage = draw(_stages(graph, run, [f"d{index}" for index in range(devices)]))
        stages.append(stage)
        names = names[len(stage.layers) :]
    cluster = Cluster("test", (), Link(1e9, 0.0))
    return Allocation(cluster, ModelSpec(Source()), graph.digest, tuple(stages))


@st.composite
def _stages(draw: st.DrawFn, graph: Graph, run: list[str], devices: list[str]) -> Stage:
    """Draw a stage that begins with this run; shorter where no split takes all of it."""
    kinds = draw(st.permutations(["spatial", "output", "input", "coded"]))
    for length in range(len(run), 0, -1):
        for kind in kinds[:2]:
            stage = draw(_KINDS[kind](graph, tuple(run[:length]), devices))
            if stage is not None and _valid(graph, stage):
                return stage
    return Stage(run[0], (run[0],), "whole", (Share(draw(st.sampled_from(devices))),))


def _valid(graph: Graph, stage: Stage) -> bool:
    try:
        check_split(graph, stage)
    except PlanError:
        return False
    return True


@st.composite
def _cuts(draw: st.DrawFn, extent: int, parts: int) -> Cuts:
    inner = st.lists(st.integers(1, extent - 1), max_size=parts - 1, unique=True)
    bounds = [0, *sorted(draw(inner) if extent > 1 else []), extent]
    return list(pairwise(bounds))


@st.composite
def _spatial(
    draw: st.DrawFn, graph: Graph, layers: tuple[str, ...], devices: list[str]
) -> Stage | None:
    first = graph.layer(layers[0]).nodes[0].outputs[0]
    axes = len(graph.values[first].shape) - 2
    if axes < 1:
        return None
    draft = Stage(layers[0], layers, "spatial", _tiles([[(0, 1), (1, 2)]] * axes, devices))
    shape = map_shape(graph, draft)
    if len(shape) != axes:
        return None
    grid = [draw(_cuts(extent, 3)) for extent in shape]
    return Stage(layers[0], layers, "spatial", _tiles(grid, draw(st.permutations(devices))))


def _tiles(grid: Sequence[Cuts], devices: list[str]) -> tuple[Share, ...]:
    """Deal the tiles of a grid out; a device may get several."""
    tiles = product(*grid)
    return tuple(Share(devices[i % len(devices)], tile=tile) for i, tile in enumerate(tiles))


@st.composite
def _output(
    draw: st.DrawFn, graph: Graph, layers: tuple[str, ...], devices: list[str]
) -> Stage | None:
    shares = draw(_blocks(_channels(graph, layers[0]), devices))
    return Stage(layers[0], layers, "output", shares) if shares else None


@st.composite
def _coded(
    draw: st.DrawFn, graph: Graph, layers: tuple[str, ...], devices: list[str]
) -> Stage | None:
    rows = draw(st.integers(1, 2))
    if len(devices) <= rows:
        return None
    shares = draw(_blocks(_channels(graph, layers[0]), devices[rows:]))
    parity = tuple(devices[:rows])
    return Stage(layers[0], layers[:1], "output", shares, parity) if shares else None


@st.composite
def _input(
    draw: st.DrawFn, graph: Graph, layers: tuple[str, ...], devices: list[str]
) -> Stage | None:
    heavy = graph.layer(layers[-1]).heavy
    reads = ops.reduces(graph, heavy) if heavy else None
    shares = draw(_blocks(reads.extent if reads else 0, devices))
    if shares is None:
        return None
    merge = draw(_blocks(_channels(graph, layers[-1]), devices)) if draw(st.booleans()) else None
    return Stage(layers[0], layers, "input", shares, merge=merge or ())


def _channels(graph: Graph, layer: str) -> int:
    if graph.layer(layer).heavy is None:
        return 0
    shape = graph.values[linear_output(graph, layer)].shape
    return shape[CHANNELS] if len(shape) > CHANNELS else 0


@st.composite
def _blocks(draw: st.DrawFn, extent: int, devices: list[str]) -> tuple[Share, ...] | None:
    if extent < 1:
        return None
    cuts = draw(_cuts(extent, len(devices)))
    return tuple(Share(device, *cut) for device, cut in zip(devices, cuts, strict=False))


_KINDS = {"spatial": _spatial, "output": _output, "input": _input, "coded": _coded}
