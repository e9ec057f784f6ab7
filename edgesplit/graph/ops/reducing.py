"""Operators that bring whole axes together: reductions, and norms that are local to the rest."""

from __future__ import annotations

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.pointwise import broadcast, whole_axes
from edgesplit.graph.ops.site import Site, Step


def reduce_axes(site: Site, out: Region) -> Step | None:
    """The axes that are reduced are whole, the others as the box has them."""
    axes = _axes(site)
    return None if axes is None else _over(site, out, axes)


def arg_axis(site: Site, out: Region) -> Step:
    """The place of the greatest or least element along one axis, which is whole."""
    axis = site.node.attributes.get("axis", 0) % max(1, len(site.shape(0)))
    return _over(site, out, {axis})


def instance_normalization(site: Site, out: Region) -> Step:
    """Statistics over the whole map of each channel."""
    box = whole_axes(out, range(2, out.rank), site.output.shape)
    channel = Region(out.lo[1:2], out.hi[1:2])
    return site.step([box, channel, channel], box)


def layer_normalization(site: Site, out: Region) -> Step:
    """Statistics over all axes from one on; scale and bias are broadcast."""
    axis = site.node.attributes.get("axis", -1) % out.rank
    box = whole_axes(out, range(axis, out.rank), site.output.shape)
    return site.step([box, *(broadcast(box, v.shape) if v else None for v in site.inputs[1:])], box)


def mean_variance(site: Site, out: Region) -> Step:
    """Statistics over some axes, which are whole."""
    axes = site.node.attributes.get("axes", (0, 2, 3))
    box = whole_axes(out, [axis % out.rank for axis in axes], site.output.shape)
    return site.step([box], box)


def lp_normalization(site: Site, out: Region) -> Step:
    """The norm along one axis, which is whole."""
    axis = site.node.attributes.get("axis", -1) % out.rank
    box = whole_axes(out, [axis], site.output.shape)
    return site.step([box], box)


def _axes(site: Site) -> set[int] | None:
    """Return the axes that are reduced; None where only the data says which."""
    rank = len(site.shape(0))
    given = site.ints("axes", 1)
    if given is None and site.has(1):
        return None
    if not given:
        return set() if site.node.attributes.get("noop_with_empty_axes", 0) else set(range(rank))
    return {axis % rank for axis in given}


def _over(site: Site, out: Region, axes: set[int]) -> Step:
    shape = site.shape(0)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    flat = not site.node.attributes.get("keepdims", 1)
    read = Region.full(shape)
    for position, axis in enumerate(kept):
        place = position if flat else axis
        read = read.with_axis(axis, out.lo[place], out.hi[place])
    return site.step([read, *site.rest()], out)
