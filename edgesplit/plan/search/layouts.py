"""Layouts: how a value lies on a group of devices between two stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from math import isqrt
from typing import Literal

from edgesplit.cost.profiles import Measured, Profile, profile_of
from edgesplit.dataflow.region import Region
from edgesplit.graph.following import CHANNELS, SPACE
from edgesplit.plan.blocks import UNIT, blocks
from edgesplit.plan.splitting import ALIGNED_ROWS
from edgesplit.spec.cluster import Device

Kind = Literal["gateway", "whole", "tiles", "blocks", "sums"]
Cuts = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a value is: `devices` are numbers of the cluster's devices, in the order of the parts.

    `gateway`: a request as it comes. `whole`: on one device. `tiles`: on a grid of `rows` rows; as
    many rows as devices make strips. `blocks`: of channels, `parity` holding the coded rows.
    `sums`: a partial sum on each.
    """

    kind: Kind
    devices: tuple[int, ...] = ()
    rows: int = 0
    parity: tuple[int, ...] = ()

    @property
    def everyone(self) -> tuple[int, ...]:
        """Devices of the parts, then those of coded rows."""
        return (*self.devices, *self.parity)


REQUEST = Layout("gateway")


@dataclass(frozen=True)
class Parts:
    """The parts of values under layouts, in proportion to the speed of a cluster's devices."""

    devices: Sequence[Device]
    measured: Measured = field(default_factory=dict)
    _seen: dict[tuple[Layout, tuple[int, ...]], tuple[Region, ...] | None] = field(
        default_factory=dict, compare=False
    )

    @cached_property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles of the devices."""
        return tuple(profile_of(device, self.measured) for device in self.devices)

    def of(self, layout: Layout, shape: tuple[int, ...]) -> tuple[Region, ...] | None:
        """Return the box of each device; None where a value of this shape can't lie like that."""
        key = (layout, shape)
        if key not in self._seen:
            self._seen[key] = self._parts(layout, shape)
        return self._seen[key]

    def channels(self, group: Sequence[int], count: int, *, matrix: bool) -> Cuts | None:
        """Cut channels, or rows of a matrix, into a block for each device of a group."""
        profiles = [self.profiles[index] for index in group]
        speeds = [p.weight_bytes_per_second if matrix else p.macs_per_second for p in profiles]
        unit = UNIT if not matrix or count >= ALIGNED_ROWS else 1
        return blocks(count, speeds, [count] * len(group), unit=unit)

    def bounds(self, layout: Layout, extents: Sequence[int]) -> tuple[Cuts, ...] | None:
        """Return the bounds of each tile on every spatial axis of a map."""
        speeds = [self.profiles[index].macs_per_second for index in layout.devices]
        first = max(0, len(extents) - 2)
        before = tuple((0, extent) for extent in extents[:first])
        lines = _lines(speeds, layout.rows)
        heights = proportional(extents[first], [sum(line) for line in lines])
        tiles: list[Cuts] = []
        for height, line in zip(heights or (), lines, strict=False):
            across = _across(extents[first + 1 :], line)
            if across is None:
                return None
            tiles += [(*before, height, *rest) for rest in across]
        return tuple(tiles) or None

    def _parts(self, layout: Layout, shape: tuple[int, ...]) -> tuple[Region, ...] | None:
        whole = Region.full(shape)
        if layout.kind == "tiles":
            if len(shape) <= SPACE:
                return None
            tiles = self.bounds(layout, shape[SPACE:])
            return None if tiles is None else tuple(_tile(whole, tile) for tile in tiles)
        if layout.kind == "blocks":
            matrix = len(shape) == SPACE
            cuts = self.channels(layout.devices, shape[CHANNELS], matrix=matrix)
            return None if cuts is None else tuple(whole.with_axis(CHANNELS, *c) for c in cuts)
        return (whole,) * max(1, len(layout.devices))


def proportional(extent: int, weights: Sequence[float]) -> Cuts | None:
    """Cut `[0, extent)` in proportion to weights, no part empty; None where it is too short.

    The same weights cut maps of other extents at nearly the same fractions, so that tiles of
    consecutive layers lie over each other.
    """
    if extent < len(weights):
        return None
    total, parts = sum(weights), len(weights)
    cuts = [round(extent * part / total) for part in accumulate(weights, initial=0.0)]
    for index in range(1, parts):
        cuts[index] = max(cuts[index], cuts[index - 1] + 1)
    for index in range(parts - 1, 0, -1):
        cuts[index] = min(cuts[index], cuts[index + 1] - 1)
    return tuple(pairwise(cuts))


def grids(devices: tuple[int, ...]) -> Iterator[Layout]:
    """Yield the ways to lay a map over devices: strips, and grids of fewer rows than columns."""
    count = len(devices)
    yield Layout("tiles", devices, count)
    for rows in range(2, isqrt(count) + 1):
        yield Layout("tiles", devices, rows)


def _lines(speeds: Sequence[float], rows: int) -> list[Sequence[float]]:
    """Deal devices to the rows of a grid, row lengths differing by one at most."""
    ends = [len(speeds) * (row + 1) // rows for row in range(rows)]
    return [speeds[start:end] for start, end in pairwise([0, *ends])]


def _across(extents: Sequence[int], line: Sequence[float]) -> tuple[Cuts, ...] | None:
    """Cut the last axis for the devices of one row; None where it can't be."""
    if len(line) == 1:
        return (tuple((0, extent) for extent in extents),)
    widths = proportional(extents[-1], line) if extents else None
    return None if widths is None else tuple((width,) for width in widths)


def _tile(whole: Region, tile: Cuts) -> Region:
    box = whole
    for axis, (lo, hi) in enumerate(tile, start=SPACE):
        box = box.with_axis(axis, lo, hi)
    return box
