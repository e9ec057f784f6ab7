"""Regions: half-open boxes of a value, the coordinates in which all of edgesplit speaks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A half-open box `[lo, hi)` of a value, one pair per axis; a scalar has no axes."""

    lo: tuple[int, ...]
    hi: tuple[int, ...]

    @classmethod
    def full(cls, shape: Iterable[int]) -> Region:
        """Return the whole of a value of this shape."""
        extents = tuple(shape)
        return cls((0,) * len(extents), extents)

    @classmethod
    def parse(cls, text: str) -> Region:
        """Read `0:1,16:32,0:27,0:27`; the empty text is the scalar.

        Raises:
            ValueError: The text is not a list of `lo:hi` pairs.
        """
        pairs = [part.split(":") for part in text.split(",")] if text else []
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"not a region: {text!r}")
        return cls(tuple(int(lo) for lo, _ in pairs), tuple(int(hi) for _, hi in pairs))

    def __str__(self) -> str:
        return ",".join(f"{lo}:{hi}" for lo, hi in zip(self.lo, self.hi, strict=True))

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.lo)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent per axis."""
        return tuple(hi - lo for lo, hi in zip(self.lo, self.hi, strict=True))

    @property
    def size(self) -> int:
        """Number of elements; 0 when empty."""
        size = 1
        for lo, hi in zip(self.lo, self.hi, strict=True):
            size *= max(0, hi - lo)
        return size

    def intersect(self, other: Region) -> Region | None:
        """Return the common box, or None where there is none."""
        lo = tuple(map(max, self.lo, other.lo))
        hi = tuple(map(min, self.hi, other.hi))
        if any(low >= high for low, high in zip(lo, hi, strict=True)):
            return None
        return Region(lo, hi)

    def hull(self, other: Region) -> Region:
        """Return the smallest box that holds both."""
        return Region(tuple(map(min, self.lo, other.lo)), tuple(map(max, self.hi, other.hi)))

    def contains(self, other: Region) -> bool:
        """Tell whether the other box lies within this one."""
        return all(a <= b for a, b in zip(self.lo, other.lo, strict=True)) and all(
            a >= b for a, b in zip(self.hi, other.hi, strict=True)
        )

    def within(self, frame: Region) -> Region:
        """Return the same box in coordinates that begin at the frame's low corner."""
        return Region(
            tuple(a - b for a, b in zip(self.lo, frame.lo, strict=True)),
            tuple(a - b for a, b in zip(self.hi, frame.lo, strict=True)),
        )

    def with_axis(self, axis: int, lo: int, hi: int) -> Region:
        """Return the box with other bounds on one axis."""
        lows, highs = list(self.lo), list(self.hi)
        lows[axis], highs[axis] = lo, hi
        return Region(tuple(lows), tuple(highs))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index into an array."""
        return tuple(slice(lo, hi) for lo, hi in zip(self.lo, self.hi, strict=True))
