"""Every way to split, for any model and number of devices: as much of it as can be, so split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, cycle, pairwise, product
from math import isqrt
from random import Random
from types import MappingProxyType

from edgesplit.errors import PlanError
from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.check_split import check_split
from edgesplit.plan.generators import MOST_BLOCKS
from edgesplit.plan.publishing import linear_output, map_shape

Cuts = tuple[tuple[int, int], ...]
Layers = tuple[str, ...]
Make = Callable[[Graph, Layers, Sequence[str]], Stage | None]

FUSED = 4
"""Layers that are fused at most."""


def stages(
    graph: Graph, kind: str, devices: Sequence[str], most: int | None = None
) -> tuple[Stage, ...]:
    """Split a model by a kind wherever that is possible; what is left is whole, on each in turn.

    At most about `most` stages are split, at equal distances.
    """
    names = [layer.name for layer in graph.layers]
    step = -(-len(names) // most) if most else 1
    homes, draw = cycle(devices), Random(len(devices))  # noqa: S311 - to be repeated
    found: list[Stage] = []
    while names:
        wanted = draw.choice(list(KINDS)) if kind == "mixed" else kind
        stage = _longest(graph, wanted, names, devices) or _whole(names[:1], next(homes))
        found.append(stage)
        names = names[len(stage.layers) :]
        if names[: step - 1]:
            found.append(_whole(names[: step - 1], next(homes)))
            names = names[step - 1 :]
    return tuple(found)


def _longest(graph: Graph, kind: str, names: list[str], devices: Sequence[str]) -> Stage | None:
    most, make = KINDS[kind]
    for length in range(min(most, len(names)), 0, -1):
        stage = make(graph, tuple(names[:length]), devices)
        if stage is not None and _valid(graph, stage):
            return stage
    return None


def _valid(graph: Graph, stage: Stage) -> bool:
    try:
        check_split(graph, stage)
    except PlanError:
        return False
    return True


def _whole(layers: Sequence[str], device: str) -> Stage:
    return Stage(layers[0], tuple(layers), "whole", (Share(device),))


def cut(extent: int, parts: int) -> Cuts:
    """Cut an extent into as many parts as it has room for; the first is twice as large."""
    parts = min(parts, extent)
    rest = extent - parts
    ends = accumulate(
        (1 + rest * (1 + (i == 0)) // (parts + 1) for i in range(parts - 1)), initial=0
    )
    return tuple(pairwise([*ends, extent]))


def _strips(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    return _spatial(graph, layers, devices, 0)


def _columns(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    return _spatial(graph, layers, devices, -1)


def _tiles(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    return _spatial(graph, layers, devices, None)


def _spatial(
    graph: Graph, layers: Layers, devices: Sequence[str], axis: int | None
) -> Stage | None:
    """Cut the map on one axis, or on the last two into a grid of at least a tile a device."""
    axes = len(graph.values[graph.layer(layers[0]).nodes[0].outputs[0]].shape) - 2
    if axes < 1:
        return None
    draft = Stage(layers[0], layers, "spatial", _dealt([((0, 1), (1, 2))] * axes, devices))
    extents = map_shape(graph, draft)
    if len(extents) != axes:
        return None
    parts = [1] * axes
    if axis is None:
        rows = max(1, isqrt(len(devices)))
        parts[-2:] = [rows, -(-len(devices) // rows)][-axes:]
    else:
        parts[axis] = len(devices)
    grid = [cut(extent, count) for extent, count in zip(extents, parts, strict=True)]
    return Stage(layers[0], layers, "spatial", _dealt(grid, devices))


def _dealt(grid: Sequence[Cuts], devices: Sequence[str]) -> tuple[Share, ...]:
    homes = cycle(devices)
    return tuple(Share(next(homes), tile=tile) for tile in product(*grid))


def _output(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    shares = _blocks(_outputs(graph, layers[0]), devices)
    return Stage(layers[0], layers, "output", shares) if shares else None


def _coded(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    shares = _blocks(_outputs(graph, layers[0]), devices[:-1][:MOST_BLOCKS])
    return Stage(layers[0], layers, "output", shares, (devices[-1],)) if shares else None


def _sums(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    heavy = graph.layer(layers[-1]).heavy
    reads = ops.reduces(graph, heavy) if heavy else None
    shares = _blocks(reads.extent if reads else 0, devices)
    return Stage(layers[0], layers, "input", shares) if shares else None


def _merged(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    """Let all devices but the first add the sums, a block each."""
    made = _sums(graph, layers, devices)
    merge = _blocks(_outputs(graph, layers[-1]), devices[1:] or devices)
    return Stage(layers[0], layers, "input", made.shares, merge=merge) if made else None


def _pairs(graph: Graph, layers: Layers, devices: Sequence[str]) -> Stage | None:
    return _sums(graph, layers, devices) if len(layers) > 1 else None


def _outputs(graph: Graph, layer: str) -> int:
    if graph.layer(layer).heavy is None:
        return 0
    shape = graph.values[linear_output(graph, layer)].shape
    return shape[CHANNELS] if len(shape) > CHANNELS else 0


def _blocks(extent: int, devices: Sequence[str]) -> tuple[Share, ...]:
    if extent < 1 or not devices:
        return ()
    return tuple(
        Share(device, *block)
        for device, block in zip(devices, cut(extent, len(devices)), strict=False)
    )


def _never(_graph: Graph, _layers: Layers, _devices: Sequence[str]) -> Stage | None:
    return None


KINDS: Mapping[str, tuple[int, Make]] = MappingProxyType(
    {
        "pipeline": (1, _never),
        "strips": (1, _strips),
        "columns": (1, _columns),
        "tiles": (1, _tiles),
        "fused": (FUSED, _tiles),
        "output": (1, _output),
        "coded": (1, _coded),
        "sums": (1, _sums),
        "merged": (1, _merged),
        "pairs": (2, _pairs),
    }
)
"""Each with the layers that it takes at most; "mixed" draws one of them for every stage."""


def least(kind: str) -> int:
    """Return the devices that a kind needs."""
    return 2 if kind == "coded" else 1


def split_layers(found: Sequence[Stage]) -> Iterator[str]:
    """Yield the layers that are not whole."""
    return (name for stage in found if stage.split != "whole" for name in stage.layers)
