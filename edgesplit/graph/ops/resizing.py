"""Resize and Upsample: axes that are stretched by a ratio of which windows can be cut exactly."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.site import Site, Step

_LOCAL = frozenset({"asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"})
"""Coordinate transformations under which a shift of the output is a shift of the input."""

_ROUNDED = 64
"""Extent up to which a coordinate divided by any ratio is right to single precision's tolerance."""

_SIZES = 3
_RENAMED = "coordinate_transformation_mode"


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One axis: extents before and after, and the ratio; None where a cut of it isn't exact."""

    extent: int
    outputs: int
    ratio: Fraction | None
    reach: int

    def window(self, lo: int, hi: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return what a tile reads and what the operator makes of that, both on the ratio's grid.

        So coordinates in the window are those in the whole, less an integer.
        """
        if self.ratio == 1:
            return (lo, hi), (lo, hi)
        if self.ratio is None:
            return (0, self.extent), (0, self.outputs)
        grid, cell = self.ratio.denominator, self.ratio.numerator
        first = max(0, floor(lo / self.ratio) - self.reach) // grid * grid
        last = -((-hi * grid) // cell) + self.reach
        last = min(self.extent, -(-last // grid) * grid)
        made = (last - first) * self.ratio
        start = first // grid * cell
        return (first, last), (start, min(self.outputs, start + floor(made)))


def resize(site: Site, out: Region) -> Step | None:
    """Nearest and linear over a window with its neighbours; other modes run whole."""
    stretches = _stretches(site)
    if stretches is None:
        return None
    bounds = zip(out.lo, out.hi, strict=True)
    windows = [s.window(lo, hi) for s, (lo, hi) in zip(stretches, bounds, strict=True)]
    read = Region(tuple(r[0] for r, _ in windows), tuple(r[1] for r, _ in windows))
    made = Region(tuple(m[0] for _, m in windows), tuple(m[1] for _, m in windows))
    axes = site.node.attributes.get("axes", range(out.rank))
    literals = {_SIZES: tuple(made.shape[axis] for axis in axes)} if site.has(_SIZES) else {}
    return site.step([read, *site.rest(literals)], made, _renamed(site), literals)


def _renamed(site: Site) -> dict[str, str]:
    """PyTorch's half pixels differ from the plain ones where a window makes a single element."""
    same = site.node.attributes.get(_RENAMED) == "pytorch_half_pixel"
    return {_RENAMED: "half_pixel"} if same else {}


def _stretches(site: Site) -> list[_Stretch] | None:
    """Return the axes; None where the operator isn't to be cut at all."""
    attributes = site.node.attributes
    mode = attributes.get("mode", "nearest")
    fit = attributes.get("keep_aspect_ratio_policy", "stretch")
    if mode not in {"nearest", "linear"} or attributes.get("antialias", 0) or fit != "stretch":
        return None
    old = site.node.op == "Upsample" or site.opset < 11
    coordinates = "asymmetric" if old else attributes.get(_RENAMED, "half_pixel")
    ratios = _ratios(site)
    if ratios is None or coordinates == "tf_crop_and_resize":
        return None
    extents = list(zip(site.shape(0), site.output.shape, ratios, strict=True))
    if coordinates == "pytorch_half_pixel" and any(m == 1 and r != 1 for _, m, r in extents):
        return None
    reach = 0 if mode == "nearest" and coordinates == "asymmetric" else 1
    return [
        _Stretch(n, m, r if r == 1 or _exact(n, m, r, mode, coordinates) else None, reach)
        for n, m, r in extents
    ]


def _exact(n: int, m: int, ratio: Fraction, mode: str, coordinates: str) -> bool:
    """Tell whether single precision finds the same coordinates in any window on the grid."""
    if coordinates not in _LOCAL or ratio.denominator & (ratio.denominator - 1):
        return False
    if coordinates == "half_pixel_symmetric" and n * ratio != m:
        return False
    binary = not ratio.numerator & (ratio.numerator - 1)
    return mode == "nearest" or binary or m <= _ROUNDED


def _ratios(site: Site) -> list[Fraction] | None:
    """Return by how much each axis is stretched; None where only the data says it."""
    if site.has(_SIZES):
        pairs = zip(site.output.shape, site.shape(0), strict=True)
        return [Fraction(m, n) for m, n in pairs] if min(site.shape(0)) else None
    scales = site.floats("scales", 1 if site.node.op == "Upsample" or site.opset < 11 else 2)
    if scales is None:
        return None
    found = [Fraction(1)] * len(site.output.shape)
    for axis, scale in zip(
        site.node.attributes.get("axes", range(len(found))), scales, strict=True
    ):
        found[axis] = Fraction(scale)
    return found
