"""Operators that cut a box out of their input, or put a frame about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.site import Site, Step

_BY_INPUTS = {"Slice": 10, "Split": 13, "Pad": 11}
"""The opset from which an operator takes its bounds as inputs instead of attributes."""

Bounds = Mapping[str, tuple[int, Sequence[int]]]
"""New bounds by name, each with its position among the inputs."""


def slice_box(site: Site, out: Region) -> Step | None:
    """The elements that the box steps over, from the lowest to the highest."""
    strides = _strides(site, out.rank)
    if strides is None:
        return None
    axes = [stride.localised(*bounds) for stride, bounds in _along(strides, out)]
    read = Region(tuple(axis.lo for axis in axes), tuple(axis.hi for axis in axes))
    bounds = {
        "starts": (1, [axis.start for axis in axes]),
        "ends": (2, [axis.stop for axis in axes]),
        "axes": (3, range(out.rank)),
        "steps": (4, [stride.step for stride in strides]),
    }
    return _bounded(site, read, out, bounds)


def split(site: Site, wanted: Mapping[str, Region]) -> Step | None:
    """From the first element wanted of any part to the last; parts outside become empty."""
    parts = [value for value in site.outputs if value is not None]
    if len(parts) < len(site.outputs):
        return None
    axis = site.node.attributes.get("axis", 0) % len(parts[0].shape)
    edges = pairwise(accumulate((part.shape[axis] for part in parts), initial=0))
    offsets = {part.name: edge for part, edge in zip(parts, edges, strict=True)}
    read = _hull(wanted, axis, offsets)
    produced = {
        part.name: _part(read, axis, offsets[part.name], inside=part.name in wanted)
        for part in parts
    }
    sizes = [produced[part.name].shape[axis] for part in parts]
    step = _bounded(site, read, read, {"split": (1, sizes)}, {"num_outputs": None})
    return replace(step, produced=produced)


def pad(site: Site, out: Region) -> Step | None:
    """What the box covers of the input; the frame is made anew, as wide as the box needs it."""
    pads = _pads(site, out.rank)
    mode = site.node.attributes.get("mode", "constant")
    if pads is None or mode not in _FRAMES or 0 in site.shape(0):
        return None
    frame = _FRAMES[mode]
    axes = [
        frame(n, *about, *bounds) if about != (0, 0) else _Framed(*bounds, *bounds, (0, 0))
        for n, about, bounds in zip(
            site.shape(0), pads, zip(out.lo, out.hi, strict=True), strict=True
        )
    ]
    if any(axis is None for axis in axes):
        return None
    framed = [axis for axis in axes if axis is not None]
    read = Region(tuple(a.lo for a in framed), tuple(a.hi for a in framed))
    made = Region(tuple(a.made_lo for a in framed), tuple(a.made_hi for a in framed))
    about = [*(axis.pads[0] for axis in framed), *(axis.pads[1] for axis in framed)]
    axes_given = {"axes": (3, range(out.rank))} if site.has(3) else {}
    return _bounded(site, read, made, {"pads": (1, about), **axes_given})


@dataclass(frozen=True, slots=True)
class _Cut:
    """A stretch `[lo, hi)` of the input, and the bounds of a Slice within it."""

    lo: int
    hi: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Stride:
    """Where a Slice begins on one axis, and how far it goes with each element."""

    start: int
    step: int

    def localised(self, lo: int, hi: int) -> _Cut:
        first, last = self.start + lo * self.step, self.start + (hi - 1) * self.step
        low, high = min(first, last), max(first, last) + 1
        extent = high - low
        return _Cut(low, high, *((0, extent) if self.step > 0 else (extent - 1, -extent - 1)))


def _strides(site: Site, rank: int) -> list[_Stride] | None:
    starts, axes, steps = (site.ints(n, p) for n, p in (("starts", 1), ("axes", 3), ("steps", 4)))
    hidden = (axes is None and site.has(3)) or (steps is None and site.has(4))
    if starts is None or hidden:
        return None
    found = [_Stride(0, 1)] * rank
    for axis, start, step in zip(
        axes or range(len(starts)), starts, steps or (1,) * len(starts), strict=True
    ):
        extent = site.shape(0)[axis]
        low = start + extent if start < 0 else start
        inside = (0, extent) if step > 0 else (0, extent - 1)
        found[axis] = _Stride(min(max(low, inside[0]), inside[1]), step)
    return found


def _along(strides: Sequence[_Stride], out: Region) -> list[tuple[_Stride, tuple[int, int]]]:
    return list(zip(strides, zip(out.lo, out.hi, strict=True), strict=True))


def _hull(
    wanted: Mapping[str, Region], axis: int, offsets: Mapping[str, tuple[int, int]]
) -> Region:
    """Return what is wanted of a Split's input."""
    first, *rest = (
        box.with_axis(axis, box.lo[axis] + offsets[name][0], box.hi[axis] + offsets[name][0])
        for name, box in wanted.items()
    )
    for box in rest:
        first = first.hull(box)
    return first


def _part(read: Region, axis: int, edge: tuple[int, int], *, inside: bool) -> Region:
    """Return what a part has of the stretch that is read, in its own coordinates."""
    low, high = max(read.lo[axis], edge[0]), min(read.hi[axis], edge[1])
    if low >= high and not inside:
        return read.with_axis(axis, 0, 0)
    return read.with_axis(axis, low - edge[0], high - edge[0])


@dataclass(frozen=True, slots=True)
class _Framed:
    """A stretch of the input, what a Pad makes of it, and the pads with which it does."""

    lo: int
    hi: int
    made_lo: int
    made_hi: int
    pads: tuple[int, int]


def _constant(n: int, before: int, _: int, lo: int, hi: int) -> _Framed:
    """A box wholly in the frame still reads one element, and crops it again."""
    low, high = max(0, lo - before), min(n, hi - before)
    if low >= high:
        return _Framed(0, 1, lo, hi, (hi - lo, -1))
    return _Framed(low, high, lo, hi, (low + before - lo, hi - before - high))


def _edge(n: int, before: int, _: int, lo: int, hi: int) -> _Framed:
    low, high = min(max(0, lo - before), n - 1), max(min(n, hi - before), 1)
    first = min(max(0, low + before - lo), hi - lo - (high - low))
    return _Framed(low, high, lo, hi, (first, hi - lo - (high - low) - first))


def _reflected(n: int, before: int, after: int, lo: int, hi: int) -> _Framed | None:
    """What is mirrored must lie in the box that is read, so more may be made than is wanted."""
    if min(before, after) < 0:
        return None
    low, high = lo - before, hi - before
    under, over = max(0, -low), max(0, high - n)
    read_lo = 0 if under else min(low, n - 1 - over) if over else low
    read_hi = n if over else max(high, under + 1) if under else high
    made = (lo if under else read_lo + before, hi if over else read_hi + before)
    return _Framed(read_lo, read_hi, *made, (under, over))


_FRAMES = {"constant": _constant, "edge": _edge, "reflect": _reflected}


def _pads(site: Site, rank: int) -> list[tuple[int, int]] | None:
    pads, axes = site.ints("pads", 1), site.ints("", 3)
    if pads is None or (axes is None and site.has(3)):
        return None
    found = [(0, 0)] * rank
    half = len(pads) // 2
    for axis, before, after in zip(
        range(half) if axes is None else axes, pads[:half], pads[half:], strict=True
    ):
        found[axis] = (before, after)
    return found


def _bounded(
    site: Site,
    read: Region,
    made: Region,
    bounds: Bounds,
    changed: Mapping[str, None] | None = None,
) -> Step:
    """Answer with new bounds, given as the operator takes them in the graph's opset."""
    attributes: dict[str, tuple[int, ...] | None] = dict(changed or {})
    literals: dict[int, tuple[int, ...]] = {}
    if site.opset >= _BY_INPUTS[site.node.op]:
        literals = {position: tuple(ints) for position, ints in bounds.values()}
    else:
        known = {"Slice": {"starts", "ends", "axes"}}.get(site.node.op, bounds)
        attributes |= {name: tuple(ints) for name, (_, ints) in bounds.items() if name in known}
    return site.step([read, *site.rest(literals)], made, attributes, literals)
