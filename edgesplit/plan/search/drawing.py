"""From a path to the stages of an allocation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS, SPACE
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.publishing import linear_output
from edgesplit.plan.search.anatomy import form
from edgesplit.plan.search.layouts import Layout
from edgesplit.plan.search.runs import Run, Runs


def stages(runs: Runs, path: Iterable[Run]) -> tuple[Stage, ...]:
    """Return a path's runs as stages."""
    return tuple(_stage(runs, run) for run in _joined(path))


def _joined(path: Iterable[Run]) -> list[Run]:
    """Return a path with whole runs that follow each other on a device as one."""
    found: list[Run] = []
    for run in path:
        if found and run.split == found[-1].split == "whole" and run.layout == found[-1].layout:
            found[-1] = replace(found[-1], end=run.end)
        else:
            found.append(run)
    return found


def _stage(runs: Runs, run: Run) -> Stage:
    layers = tuple(layer.name for layer in runs.graph.layers[run.start : run.end])
    name = layers[0] if len(layers) == 1 else f"{layers[0]}..{layers[-1]}"
    shares = {"whole": _whole, "output": _blocks, "input": _sums, "spatial": _tiles}[run.split]
    parity = tuple(runs.parts.devices[index].name for index in run.layout.parity)
    merge = _cut(runs, run.after, _linear(runs.graph, run.end - 1)) if _merged(run) else ()
    return Stage(name, layers, run.split, shares(runs, run), parity, merge)


def _merged(run: Run) -> bool:
    return run.split == "input" and run.after != run.layout


def _whole(runs: Runs, run: Run) -> tuple[Share, ...]:
    return tuple(Share(name) for name in _names(runs, run.layout))


def _blocks(runs: Runs, run: Run) -> tuple[Share, ...]:
    return _cut(runs, run.layout, _linear(runs.graph, run.start))


def _sums(runs: Runs, run: Run) -> tuple[Share, ...]:
    heavy = runs.graph.layers[run.end - 1].heavy
    reads = ops.reduces(runs.graph, heavy) if heavy else None
    assert heavy is not None  # noqa: S101 - the run was made for its sum
    assert reads is not None  # noqa: S101 - likewise
    cuts = runs.parts.channels(run.layout.devices, reads.extent, matrix=heavy.op != "Conv")
    return _shares(runs, run.layout, cuts or ())


def _tiles(runs: Runs, run: Run) -> tuple[Share, ...]:
    *_, last = runs.anatomy.leaving(run.end - 1, run.end, form(run.layout))
    tiles = runs.parts.bounds(run.layout, runs.graph.values[last].shape[SPACE:]) or ()
    names = _names(runs, run.layout)
    return tuple(Share(name, tile=tile) for name, tile in zip(names, tiles, strict=True))


def _cut(runs: Runs, layout: Layout, shape: tuple[int, ...]) -> tuple[Share, ...]:
    matrix = len(shape) == SPACE
    cuts = runs.parts.channels(layout.devices, shape[CHANNELS], matrix=matrix)
    return _shares(runs, layout, cuts or ())


def _shares(runs: Runs, layout: Layout, cuts: Sequence[tuple[int, int]]) -> tuple[Share, ...]:
    names = _names(runs, layout)
    return tuple(Share(name, *cut) for name, cut in zip(names, cuts, strict=True))


def _names(runs: Runs, layout: Layout) -> list[str]:
    return [runs.parts.devices[index].name for index in layout.devices]


def _linear(graph: Graph, index: int) -> tuple[int, ...]:
    return graph.values[linear_output(graph, graph.layers[index].name)].shape
