"""What messages cost while several devices are at work: more, where those share a host or a net."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crowd:
    """The prices of messages while `devices` are at work: seconds an end, and a byte of it."""

    devices: int
    message: float
    byte: float

    def slowed(self, factor: float) -> Crowd:
        """Return the prices on devices that take `factor` times as long."""
        return Crowd(self.devices, self.message * factor, self.byte * factor)


def price(known: Sequence[Crowd], devices: int) -> Crowd:
    """Return the prices with so many devices at work.

    Between two crowds that are known they lie on a line, beyond the ends they stay.

    Args:
        known: Crowds, smaller ones first; at least one.
        devices: How many are at work.
    """
    above = bisect_left(known, devices, key=lambda crowd: crowd.devices)
    if above == len(known):
        return known[-1]
    if above == 0 or known[above].devices == devices:
        return known[above]
    less, more = known[above - 1], known[above]
    part = (devices - less.devices) / (more.devices - less.devices)
    return Crowd(
        devices,
        less.message + part * (more.message - less.message),
        less.byte + part * (more.byte - less.byte),
    )


def including(known: Sequence[Crowd], found: Crowd) -> tuple[Crowd, ...]:
    """Return crowds with another one, in place of an earlier one of its size."""
    others = (crowd for crowd in known if crowd.devices != found.devices)
    return tuple(sorted((*others, found), key=lambda crowd: crowd.devices))
