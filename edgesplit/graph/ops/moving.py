"""Operators that choose, repeat or rearrange elements."""

from __future__ import annotations

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.pointwise import broadcast, whole_axes
from edgesplit.graph.ops.site import Site, Step

_CHANNELS = 1
_MAP = 2


def expand(site: Site, out: Region) -> Step:
    """Broadcasting to the extents of the box."""
    return site.step([broadcast(out, site.shape(0))], out, literals={1: out.shape})


def tile(site: Site, out: Region) -> Step:
    """Axes that are repeated are whole."""
    shape = site.shape(0)
    repeated = [axis for axis, n in enumerate(shape) if n != site.output.shape[axis]]
    made = whole_axes(out, repeated, site.output.shape)
    return site.step([whole_axes(out, repeated, shape), *site.rest()], made)


def gather(site: Site, out: Region) -> Step:
    """The chosen axis from the first element that is named to the last, where it is known which."""
    data, indices = site.shape(0), site.shape(1)
    axis = site.node.attributes.get("axis", 0) % len(data)
    after = axis + len(indices)
    lo, hi = (*out.lo[:axis], 0, *out.lo[after:]), (*out.hi[:axis], data[axis], *out.hi[after:])
    read, chosen = Region(lo, hi), Region(out.lo[axis:after], out.hi[axis:after])
    names = site.ints("", 1)
    if names is None or len(indices) != 1:
        return site.step([read, chosen], out)
    places = [name % data[axis] for name in names[chosen.lo[0] : chosen.hi[0]]]
    first = min(places)
    box = read.with_axis(axis, first, max(places) + 1)
    return site.step([box], out, literals={1: tuple(place - first for place in places)})


def depth_to_space(site: Site, out: Region) -> Step:
    """Cells of the map that a tile touches; channels are whole unless they lie side by side."""
    size = site.node.attributes["blocksize"]
    lo, hi = (tuple(n // size for n in out.lo[_MAP:]), tuple(-(-n // size) for n in out.hi[_MAP:]))
    made_lo, made_hi = (tuple(n * size for n in lo), tuple(n * size for n in hi))
    if site.node.attributes.get("mode", "DCR") == "CRD":
        block = (out.lo[_CHANNELS], out.hi[_CHANNELS])
    else:
        block = (0, site.output.shape[_CHANNELS])
    read = (block[0] * size * size, block[1] * size * size)
    made = Region((out.lo[0], block[0], *made_lo), (out.hi[0], block[1], *made_hi))
    return site.step([Region((out.lo[0], read[0], *lo), (out.hi[0], read[1], *hi))], made)


def space_to_depth(site: Site, out: Region) -> Step:
    """All channels of the cells that a tile is made of."""
    size = site.node.attributes["blocksize"]
    made = whole_axes(out, [_CHANNELS], site.output.shape)
    read = Region(
        (out.lo[0], 0, *(n * size for n in out.lo[_MAP:])),
        (out.hi[0], site.shape(0)[_CHANNELS], *(n * size for n in out.hi[_MAP:])),
    )
    return site.step([read], made)
