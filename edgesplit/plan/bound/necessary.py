"""Which positions of each value some task must make, whatever the split.

A fused stage makes only what its tiles ask for: behind a window that strides further than it
reaches, parts of a map are never needed. Whatever is doubtful counts as not necessary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.following import SPACE
from edgesplit.graph.model import Graph, Node, Value

Mask = tuple[NDArray[np.bool_], ...]
"""The necessary positions of a value: those that every one of its axes marks."""

_WINDOWS = frozenset({"Conv", "MaxPool", "AveragePool"})

_CUTS = frozenset({"Slice", "Split", "Pad"})
"""Operators that may leave a part of their input out, at its ends."""

_SKIPS = frozenset({"Gather", "Resize", "Upsample"})
"""Operators that may leave out any part of it."""

_CROPS = frozenset({"pads", "auto_pad", "output_shape"})
"""Attributes by which a ConvTranspose may leave out what it makes of some elements."""


def necessary(graph: Graph) -> dict[str, Mask]:
    """Return the necessary positions of each value that the model's outputs depend on."""
    return _behind(graph, {port.name: _full(graph.values[port.name]) for port in graph.outputs})


def input_bytes(graph: Graph, needed: Mapping[str, Mask]) -> float:
    """Return the bytes of the inputs that heavy operators need, and so some device."""
    made = [node.outputs[0] for node in graph.nodes if node.name in graph.heavy]
    fed = _behind(graph, {name: needed[name] for name in made if name in needed})
    return sum(
        count(fed[port.name]) * graph.values[port.name].itemsize
        for port in graph.inputs
        if port.name in fed
    )


def count(mask: Mask) -> int:
    """Return the number of positions; 1 of a scalar."""
    return prod(int(axis.sum()) for axis in mask)


def _behind(graph: Graph, wanted: Mapping[str, Mask]) -> dict[str, Mask]:
    """Return what is necessary of every value that some wanted ones are made of."""
    found = dict(wanted)
    for node in reversed(graph.nodes):
        for name, mask in _read(graph, node, found):
            if name not in found or count(mask) > count(found[name]):
                found[name] = mask
    return found


def _full(value: Value) -> Mask:
    return tuple(np.ones(extent, bool) for extent in value.shape)


def _nothing(value: Value) -> Mask:
    return tuple(np.zeros(extent, bool) for extent in value.shape)


def _read(graph: Graph, node: Node, found: Mapping[str, Mask]) -> Iterator[tuple[str, Mask]]:
    """Yield what a node must read of its inputs for each output, constants left out."""
    for made in node.outputs:
        for name in node.reads:
            if made in found and not graph.values[name].constant:
                yield name, _of(graph, node, name, made, found[made])


def _of(graph: Graph, node: Node, name: str, made: str, out: Mask) -> Mask:
    value = graph.values[name]
    if not ops.known(node):
        return _full(value)
    if node.op in _WINDOWS:
        return _under_windows(graph, node, value, out)
    if all(axis.all() for axis in out):
        return _of_whole(graph, node, value, made)
    if node.op == "Concat":
        return _part(graph, node, name, out)
    doubtful = node.op in {"Transpose", "ConvTranspose"} | _CUTS | _SKIPS
    return _nothing(value) if doubtful else _broadcast(value, out) or _nothing(value)


def _of_whole(graph: Graph, node: Node, value: Value, made: str) -> Mask:
    """Return what the whole of an output is made of."""
    if node.op in _CUTS:
        return _stretch(graph, node, value, graph.values[made])
    cropped = node.op == "ConvTranspose" and node.attributes.keys() & _CROPS
    return _nothing(value) if cropped or node.op in _SKIPS else _full(value)


def _stretch(graph: Graph, node: Node, value: Value, made: Value) -> Mask:
    """Return the stretch that a cut takes, unless it steps over elements within."""
    reads = dict(ops.step(graph, node, {made.name: made.region}).needs(node))
    read = reads.get(value.name)
    if read is None or (node.op != "Pad" and read.shape != made.shape):
        return _nothing(value)
    return tuple(
        np.isin(np.arange(extent), np.arange(*bounds))
        for extent, bounds in zip(value.shape, zip(read.lo, read.hi, strict=True), strict=True)
    )


def _broadcast(value: Value, out: Mask) -> Mask | None:
    """Return the same positions of an operand; None where its axes aren't the output's."""
    axes = out[len(out) - len(value.shape) :]
    pairs = list(zip(axes, value.shape, strict=False))
    if len(pairs) != len(value.shape) or any(n not in {1, len(axis)} for axis, n in pairs):
        return None
    return tuple(axis if n == len(axis) else np.array([axis.any()]) for axis, n in pairs)


def _part(graph: Graph, node: Node, name: str, out: Mask) -> Mask:
    """Return what a Concat takes of one input; of one that it reads twice, the first."""
    along = node.attributes["axis"] % len(out)
    place = node.inputs.index(name)
    start = sum(graph.values[other].shape[along] for other in node.inputs[:place])
    axes = list(out)
    axes[along] = axes[along][start : start + graph.values[name].shape[along]]
    return tuple(axes)


def _under_windows(graph: Graph, node: Node, value: Value, out: Mask) -> Mask:
    """Return what the windows of the necessary outputs cover, axis by axis."""
    axes = range(SPACE, len(out))
    covered = [_covered(graph, node, value, axis, out[axis]) for axis in axes]
    channels = out[1].all() or (node.op == "Conv" and node.attributes.get("group", 1) == 1)
    return (out[0], np.full(value.shape[1], bool(channels)), *covered)


def _covered(
    graph: Graph, node: Node, value: Value, axis: int, out: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return what the windows at the marked positions of an axis cover."""
    marks = np.zeros(value.shape[axis], bool)
    first, second, last = (
        _window(graph, node, value.name, axis, at) for at in (0, min(1, len(out) - 1), -1)
    )
    if out.all() and first and second and last and second[0] <= first[1]:
        marks[first[0] : last[1]] = True  # No window leaves a gap to the next one.
        return marks
    for position in np.flatnonzero(out):
        read = _window(graph, node, value.name, axis, int(position))
        if read is not None:
            marks[slice(*read)] = True
    return marks


def _window(
    graph: Graph, node: Node, name: str, axis: int, position: int
) -> tuple[int, int] | None:
    """Return the bounds of one window on an axis; None where the operator would rather run whole.

    A negative position counts from the end.
    """
    made = node.outputs[0]
    shape = graph.values[made].shape
    box = Region(tuple(n // 2 for n in shape), tuple(n // 2 + 1 for n in shape))
    box = box.with_axis(0, 0, shape[0]).with_axis(1, 0, shape[1])
    position %= shape[axis]
    box = box.with_axis(axis, position, position + 1)
    step = ops.step(graph, node, {made: box})
    if step.produced[made] != box:
        return None
    region = next(region for value, region in step.needs(node) if value == name)
    return region.lo[axis], region.hi[axis]
