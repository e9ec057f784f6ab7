"""Transposed convolution: every input element adds to a window of the output."""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.site import Site, Step
from edgesplit.graph.ops.windows import Share, join, share_of


@dataclass(frozen=True, slots=True)
class _Axis:
    """One spatial axis: extents, the window of one element, and what is cropped before it."""

    extent: int
    outputs: int
    reach: int
    stride: int
    pad: int

    def tile(self, lo: int, hi: int) -> _Tile | None:
        """Return how the output positions `[lo, hi)` are made; None where no input adds to them.

        What is read reaches one element further where the tile begins between two windows.
        """
        between = (lo + self.pad) // self.stride
        touched = -((self.reach - 1 - lo - self.pad) // self.stride)
        first = max(0, min(between, touched))
        last = min(self.extent - 1, (hi - 1 + self.pad) // self.stride)
        if first > last:
            return None
        start = first * self.stride - self.pad
        stop = last * self.stride - self.pad + self.reach
        pads = (max(0, -start), max(0, stop - self.outputs))
        more = max(0, hi - stop)
        if more >= self.stride or start > lo:
            return None
        made = (start + pads[0], stop - pads[1] + more)
        return _Tile((first, last + 1), made, pads, more)


@dataclass(frozen=True, slots=True)
class _Tile:
    """Bounds of a tile on one axis, and the explicit attributes of the localised operator."""

    read: tuple[int, int]
    made: tuple[int, int]
    pads: tuple[int, int]
    more: int


def conv_transpose(site: Site, out: Region) -> Step:
    """Whole groups of channels or a block within one, and the inputs whose windows touch a tile."""
    weights = site.shape(1)
    share = share_of(out, weights[1])
    rows = _rows(share, weights, site.node.attributes.get("group", 1))
    bias = [Region((share.lo,), (share.hi,)) for _ in site.inputs[2:]]
    tiles = _tiles(site, out)
    if tiles is None:
        read, made = Region.full(site.shape(0)[2:]), Region.full(site.output.shape[2:])
        attributes = {}
    else:
        read, made = _box(t.read for t in tiles), _box(t.made for t in tiles)
        attributes = {
            "auto_pad": "NOTSET",
            "output_shape": None,
            "output_padding": tuple(tile.more for tile in tiles),
            "pads": (*(tile.pads[0] for tile in tiles), *(tile.pads[1] for tile in tiles)),
        }
    inside = (rows.lo[0], rows.hi[0])
    return site.step(
        [join(out, inside, read), rows, *bias],
        join(out, (share.lo, share.hi), made),
        {"group": share.count, "kernel_shape": weights[2:], **attributes},
    )


def _rows(share: Share, weights: tuple[int, ...], groups: int) -> Region:
    """Return the box of the weights: inputs of the groups, and their outputs within a group."""
    each, per = weights[0] // groups, weights[1]
    rows = Region.full(weights)
    rows = rows.with_axis(0, share.group * each, (share.group + share.count) * each)
    if share.count > 1:
        return rows
    return rows.with_axis(1, share.lo - share.group * per, share.hi - share.group * per)


def _tiles(site: Site, out: Region) -> list[_Tile] | None:
    if out.slices[2:] == site.output.region.slices[2:]:
        return None
    axes = _axes(site)
    bounds = zip(out.lo[2:], out.hi[2:], strict=True)
    tiles = [axis.tile(lo, hi) for axis, (lo, hi) in zip(axes, bounds, strict=True)]
    found = [tile for tile in tiles if tile is not None]
    return found if len(found) == len(tiles) else None


def _axes(site: Site) -> list[_Axis]:
    """Return the spatial axes, explicit pads in place of automatic ones (ONNX ConvTranspose)."""
    attributes = site.node.attributes
    kernel = site.shape(1)[2:]
    ones = (1,) * len(kernel)
    given = attributes.get("pads", (0,) * 2 * len(kernel))
    auto = attributes.get("auto_pad", "NOTSET")
    automatic = auto.startswith("SAME") or "output_shape" in attributes
    found = []
    for axis, k in enumerate(kernel):
        stride = attributes.get("strides", ones)[axis]
        reach = attributes.get("dilations", ones)[axis] * (k - 1) + 1
        extent, outputs = site.shape(0)[2 + axis], site.output.shape[2 + axis]
        more = attributes.get("output_padding", (0,) * len(kernel))[axis]
        total = max(0, (extent - 1) * stride + more + reach - outputs)
        half = total // 2 if auto == "SAME_UPPER" else total - total // 2
        pad = half if automatic else 0 if auto == "VALID" else given[axis]
        found.append(_Axis(extent, outputs, reach, stride, pad))
    return found


def _box(bounds: object) -> Region:
    pairs = list(bounds)  # type: ignore[call-overload]
    return Region(tuple(lo for lo, _ in pairs), tuple(hi for _, hi in pairs))
