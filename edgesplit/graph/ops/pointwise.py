"""Operators that work element by element, along one axis, or over whole axes."""

from __future__ import annotations

from collections.abc import Iterable

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.site import Site, Step


def broadcast(out: Region, shape: tuple[int, ...]) -> Region:
    """Return the box of an operand that numpy's broadcasting combines into the box `out`."""
    skip = out.rank - len(shape)
    lo = tuple(0 if n == 1 else a for a, n in zip(out.lo[skip:], shape, strict=True))
    hi = tuple(1 if n == 1 else b for b, n in zip(out.hi[skip:], shape, strict=True))
    return Region(lo, hi)


def whole_axes(region: Region, axes: Iterable[int], shape: tuple[int, ...]) -> Region:
    """Return the box widened to the whole of some axes."""
    for axis in axes:
        region = region.with_axis(axis, 0, shape[axis])
    return region


def pointwise(site: Site, out: Region) -> Step:
    """Every operand in the same box, after broadcasting."""
    return site.step([broadcast(out, v.shape) if v else None for v in site.inputs], out)


def dropout(site: Site, out: Region) -> Step | None:
    """The identity, unless it may be in training mode."""
    return None if len(site.inputs) > 2 else pointwise(site, out)


def batch_normalization(site: Site, out: Region) -> Step | None:
    """Statistics are per channel, axis 1, unless they are taken from the batch itself."""
    if site.node.attributes.get("training_mode", 0):
        return None
    channel = Region(out.lo[1:2], out.hi[1:2])
    return site.step([out, *(channel for _ in site.inputs[1:])], out)


def lrn(site: Site, out: Region) -> Step:
    """A window of `size` channels around each (ONNX LRN: floor and ceil of (size - 1) / 2).

    The operator pads at the edge of the channels it is given, so only the inside is right.
    """
    reach = site.node.attributes["size"] - 1
    lo = max(0, out.lo[1] - reach // 2)
    hi = min(site.output.shape[1], out.hi[1] + reach - reach // 2)
    halo = out.with_axis(1, lo, hi)
    return site.step([halo], halo)


def softmax(site: Site, out: Region) -> Step:
    """The axis it sums over is whole; before opset 13 all axes from there on."""
    rank = out.rank
    old = site.opset < 13
    axis = site.node.attributes.get("axis", 1 if old else -1) % max(rank, 1)
    axes = range(axis, rank) if old else [axis][:rank]
    box = whole_axes(out, axes, site.output.shape)
    return site.step([box], box)


def global_pool(site: Site, out: Region) -> Step:
    """Everything after the channels is whole."""
    shape = site.shape(0)
    return site.step([Region(out.lo[:2] + (0,) * (len(shape) - 2), out.hi[:2] + shape[2:])], out)
