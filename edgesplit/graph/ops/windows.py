"""Operators that slide a window over the spatial axes: convolution and pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.site import Site, Step


@dataclass(frozen=True, slots=True)
class Axis:
    """A window sliding over one axis: extents in elements, `pads` before the first and after."""

    extent: int
    outputs: int
    kernel: int
    stride: int
    dilation: int
    pads: tuple[int, int]

    @property
    def reach(self) -> int:
        """Elements from the first to the last that one window touches."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def regular(self) -> bool:
        """Tell whether ONNX Runtime's output extent is the one that the arithmetic gives."""
        room = self.extent + sum(self.pads) - self.reach
        floor, ceiling = room // self.stride + 1, -(-room // self.stride) + 1
        return self.outputs in {floor, ceiling} and min(self.pads) >= 0

    @property
    def floored(self) -> bool:
        """Tell whether all windows lie within the padded map, so that ceiling adds none."""
        return self.outputs == (self.extent + sum(self.pads) - self.reach) // self.stride + 1

    def tile(self, lo: int, hi: int) -> Tile:
        """Return what the output positions `[lo, hi)` read, and the padding they see."""
        start = lo * self.stride - self.pads[0]
        stop = (hi - 1) * self.stride - self.pads[0] + self.reach
        inside = (max(0, start), min(self.extent, stop))
        return Tile(*inside, pads=(inside[0] - start, stop - inside[1]))


@dataclass(frozen=True, slots=True)
class Tile:
    """Input bounds of a tile on one axis, and the explicit pads of the localised operator."""

    lo: int
    hi: int
    pads: tuple[int, int]

    def safe(self, axis: Axis) -> bool:
        """Tell whether every window holds an element: pads as wide as it are undefined."""
        return self.lo < self.hi and max(self.pads) < axis.reach


@dataclass(frozen=True, slots=True)
class Window:
    """The spatial part of a localised operator: boxes without the batch and channel axes."""

    read: Region
    made: Region
    attributes: Mapping[str, Any]


def conv(site: Site, out: Region) -> Step:
    """Whole groups of channels, or a block within one; weights and bias cut on the outputs."""
    weights = site.shape(1)
    window = _window(site, out, _axes(site, weights[2:]))
    share = share_of(out, site.output.shape[1] // site.node.attributes.get("group", 1))
    first = share.group * weights[1]
    read = join(out, (first, first + share.count * weights[1]), window.read)
    rows = Region.full(weights).with_axis(0, share.lo, share.hi)
    bias = [Region((share.lo,), (share.hi,)) for _ in site.inputs[2:]]
    made = join(out, (share.lo, share.hi), window.made)
    changed = {"group": share.count, "kernel_shape": weights[2:], **window.attributes}
    return site.step([read, rows, *bias], made, changed)


def pool(site: Site, out: Region) -> Step:
    """A window per channel; average pooling over a ceiled edge is only right on whole maps.

    Where no window is added by ceiling, the operator is told to floor: ONNX's shape inference
    would count one that ONNX Runtime leaves out.
    """
    attributes = site.node.attributes
    kernel = attributes["kernel_shape"]
    axes = _axes(site, kernel)
    explicit = attributes.get("auto_pad", "NOTSET") == "NOTSET"
    floored = explicit and all(axis.floored for axis in axes)
    dilations = attributes.get("dilations", (1,) * len(kernel))
    dilated = any(d != 1 for d, k in zip(dilations, kernel, strict=True) if k > 1)
    ceiled = attributes.get("ceil_mode", 0) and attributes.get("count_include_pad", 0)
    window = _window(site, out, () if dilated or (ceiled and not floored) else axes)
    floor = {"ceil_mode": 0} if floored and attributes.get("ceil_mode", 0) else {}
    channels = (out.lo[1], out.hi[1])
    read, made = join(out, channels, window.read), join(out, channels, window.made)
    return site.step([read], made, {**window.attributes, **floor})


@dataclass(frozen=True, slots=True)
class Share:
    """Output channels `[lo, hi)` made by `count` groups of a convolution from `group` on."""

    lo: int
    hi: int
    group: int
    count: int


def share_of(out: Region, per: int) -> Share:
    """Widen a block of output channels to whole groups of `per`, unless it lies within one."""
    first, last = out.lo[1] // per, -(-out.hi[1] // per)
    if last - first == 1:
        return Share(out.lo[1], out.hi[1], first, 1)
    return Share(first * per, last * per, first, last - first)


def _axes(site: Site, kernel: tuple[int, ...]) -> tuple[Axis, ...]:
    """Return the spatial axes; their outputs are what ONNX Runtime made, not a formula."""
    rank = len(kernel)
    stride = site.node.attributes.get("strides", (1,) * rank)
    dilation = site.node.attributes.get("dilations", (1,) * rank)
    pads = site.node.attributes.get("pads", (0,) * (2 * rank))
    auto = site.node.attributes.get("auto_pad", "NOTSET")
    axes = zip(site.shape(0)[2:], site.output.shape[2:], kernel, stride, dilation, strict=True)
    explicit = zip(pads[:rank], pads[rank:], strict=True)
    return tuple(
        _padded(Axis(*axis, pads=given), auto) for axis, given in zip(axes, explicit, strict=True)
    )


def _padded(axis: Axis, auto: str) -> Axis:
    """Return the axis with explicit pads in place of automatic ones (ONNX Conv, auto_pad)."""
    if auto == "NOTSET":
        return axis
    total = max(0, (axis.outputs - 1) * axis.stride + axis.reach - axis.extent)
    half = total // 2
    pads = {"SAME_UPPER": (half, total - half), "SAME_LOWER": (total - half, half)}
    return replace(axis, pads=pads.get(auto, (0, 0)))


def _window(site: Site, out: Region, axes: tuple[Axis, ...]) -> Window:
    """Return the tile's window; the whole maps where the tile is all, or isn't safe.

    A ceiled window is written as one with explicit pads even then: ONNX's shape inference counts
    windows that ONNX Runtime leaves out, and would refuse what a shard reads beside it.
    """
    full = Region.full(site.output.shape[2:])
    bounds = zip(out.lo[2:], out.hi[2:], strict=True)
    all_of_it = full.slices == out.slices[2:] and not site.node.attributes.get("ceil_mode", 0)
    if all_of_it or not axes or not all(axis.regular for axis in axes):
        return Window(Region.full(site.shape(0)[2:]), full, {})
    tiles = [axis.tile(lo, hi) for axis, (lo, hi) in zip(axes, bounds, strict=True)]
    if not all(tile.safe(axis) for tile, axis in zip(tiles, axes, strict=True)):
        return Window(Region.full(site.shape(0)[2:]), full, {})
    pads = (*(tile.pads[0] for tile in tiles), *(tile.pads[1] for tile in tiles))
    floor = {"ceil_mode": 0} if "ceil_mode" in site.node.attributes else {}
    return Window(
        Region(tuple(tile.lo for tile in tiles), tuple(tile.hi for tile in tiles)),
        Region(out.lo[2:], out.hi[2:]),
        {"auto_pad": "NOTSET", "pads": pads, **floor},
    )


def join(out: Region, channels: tuple[int, int], spatial: Region) -> Region:
    """Return the batch of `out`, a block of channels and the spatial box as one box."""
    return Region(
        (out.lo[0], channels[0], *spatial.lo),
        (out.hi[0], channels[1], *spatial.hi),
    )
