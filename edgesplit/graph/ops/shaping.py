"""Operators that move elements without changing them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from math import prod

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.site import Site, Step


def reshape(site: Site, out: Region) -> Step | None:
    """The new shape is given as a literal, since the localised one differs."""
    step = moved(site, out)
    if step is None:
        return None
    made = step.produced[site.output.name]
    return site.step([step.reads[0]], made, literals={1: made.shape})


def moved(site: Site, out: Region) -> Step | None:
    """Elements in the same order under another shape: Flatten, Unsqueeze, Reshape."""
    if out.size == 0:
        return None
    read, made = _boxes(site.shape(0), site.output.shape, out)
    others = [Region.full(v.shape) if v else None for v in site.inputs[1:]]
    return site.step([read, *others], made)


def squeeze(site: Site, out: Region) -> Step | None:
    """Without named axes a localised Squeeze would also lose axes that became 1."""
    return moved(site, out) if site.ints("axes", 1) is not None else None


def transpose(site: Site, out: Region) -> Step:
    """Axis `i` of the output is axis `perm[i]` of the input; reversed where perm isn't given."""
    rank = out.rank
    perm = site.node.attributes.get("perm", tuple(range(rank))[::-1])
    place = [perm.index(axis) for axis in range(rank)]
    return site.step(
        [Region(tuple(out.lo[p] for p in place), tuple(out.hi[p] for p in place))], out
    )


def concat(site: Site, out: Region) -> Step:
    """Only the inputs that the box touches, each in its own coordinates."""
    axis = site.node.attributes["axis"] % out.rank
    extents = [site.shape(position)[axis] for position in range(len(site.inputs))]
    edges = pairwise(accumulate(extents, initial=0))
    reads = [_part(out, axis, lo, hi) for lo, hi in edges]
    return site.step(reads, out)


def _part(out: Region, axis: int, lo: int, hi: int) -> Region | None:
    """Return what `out` takes of the input that fills `[lo, hi)` of the axis."""
    low, high = max(lo, out.lo[axis]), min(hi, out.hi[axis])
    return out.with_axis(axis, low - lo, high - lo) if low < high else None


def _boxes(source: tuple[int, ...], target: tuple[int, ...], out: Region) -> tuple[Region, Region]:
    """Return the boxes of input and output that hold the same elements, `out` among them."""
    read: list[tuple[int, int]] = []
    made: list[tuple[int, int]] = []
    for ins, outs in _runs(source, target):
        box = Region(out.lo[outs], out.hi[outs])
        taken, given = _aligned(source[ins], target[outs], box)
        read += zip(taken.lo, taken.hi, strict=True)
        made += zip(given.lo, given.hi, strict=True)
    return _region(read), _region(made)


def _region(bounds: list[tuple[int, int]]) -> Region:
    return Region(tuple(lo for lo, _ in bounds), tuple(hi for _, hi in bounds))


def _runs(source: tuple[int, ...], target: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Cut both shapes into the shortest runs of axes that hold equally many elements."""
    i = j = 0
    while i < len(source) or j < len(target):
        start, other = i, j
        i, j = min(i + 1, len(source)), min(j + 1, len(target))
        while (left := prod(source[start:i])) != (right := prod(target[other:j])):
            i, j = (i + 1, j) if left < right else (i, j + 1)
        yield slice(start, i), slice(other, j)


def _aligned(
    source: tuple[int, ...], target: tuple[int, ...], out: Region
) -> tuple[Region, Region]:
    """Widen `out` until the elements it spans are a box under both shapes."""
    wanted = _span(target, out)
    while True:
        read = _span_box(source, *wanted)
        made = _span_box(target, *_span(source, read))
        if (span := _span(target, made)) == _span(source, read):
            return read, made
        wanted = span


def _span(shape: tuple[int, ...], box: Region) -> tuple[int, int]:
    """Return the first and the last element, counted row by row, that the box holds."""
    steps = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    first = sum(lo * step for lo, step in zip(box.lo, steps, strict=True))
    last = sum((hi - 1) * step for hi, step in zip(box.hi, steps, strict=True))
    return first, last


def _span_box(shape: tuple[int, ...], first: int, last: int) -> Region:
    """Return the smallest box whose elements are one unbroken run that holds both."""
    lo, hi = [0] * len(shape), list(shape)
    for axis in range(len(shape)):
        step = prod(shape[axis + 1 :])
        low, high = first // step % shape[axis], last // step % shape[axis]
        lo[axis], hi[axis] = low, high + 1
        if low != high:
            break
    return Region(tuple(lo), tuple(hi))
