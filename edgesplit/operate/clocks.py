"""Clocks: one axis for the clocks of many devices, as far as the messages between them tell.

A message can't arrive before it left: each bounds how far two clocks are apart. The gateway's
admission and answer close the circle, so every device has an earliest and a latest offset. Between
them lies the time on the wire, and most of that goes with the bytes: as many seconds a byte as
contradict no message are taken off first, and of what is left each direction gets half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.table import GATEWAY

# Seconds a byte of the slowest wire that is thought of: 100 kB/s.
_SLOWEST = 1e-5
# Halvings of an interval: enough for a thousandth of a nanosecond in a second.
_HALVINGS = 40
# Seconds that traces are rounded to, twice.
_ROUNDING = 2e-6


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes from one device to another: not sent before `left`, there by `arrived`.

    Each time is in seconds of its own device's clock; the gateway counts as a device.
    """

    sender: str
    receiver: str
    left: float
    arrived: float
    nbytes: int


@dataclass(frozen=True, slots=True)
class Clock:
    """What to add to a device's time for the gateway's, and by how much that may be off.

    Seconds; `doubt` is None where messages bound the offset from one side only.
    """

    offset: float
    doubt: float | None


def align(messages: Iterable[Message]) -> dict[str, Clock]:
    """Return the clock of every device that messages relate to the gateway's.

    Where clocks drift, no offsets satisfy all messages; then all are believed a little less, by as
    little as is needed.
    """
    bounds = _Bounds(messages)
    slack = _least(lambda slack: bounds.possible(0.0, slack), _ROUNDING)
    rate = bounds.most(slack)
    # Once more the slack, so that no circle is left that just closes, but for floats.
    widest, likely = bounds.range(0.0, 2 * slack), bounds.range(rate, 2 * slack)
    clocks = (
        (name, _clock(*(float(end[index]) for end in (*widest, *likely))))
        for name, index in bounds.devices.items()
        if name != GATEWAY
    )
    return {name: clock for name, clock in clocks if clock is not None}


def _clock(early: float, late: float, low: float, high: float) -> Clock | None:
    """Return the middle of what is likely, and how far it is from the ends of what is possible."""
    ends = [end for end in (low, high) if isfinite(end)]
    if not ends:
        return None
    offset = sum(ends) / len(ends)
    doubt = max(offset - early, late - offset)
    return Clock(offset, doubt if isfinite(doubt) else None)


class _Bounds:
    """How far clocks are apart at least: of each pair of devices and size the tightest message."""

    def __init__(self, messages: Iterable[Message]) -> None:
        tightest: dict[tuple[str, str, int], float] = {}
        for one in messages:
            key = (one.sender, one.receiver, one.nbytes)
            tightest[key] = max(tightest.get(key, -np.inf), one.left - one.arrived)
        names = [GATEWAY, *(name for key in tightest for name in key[:2])]
        self.devices: Mapping[str, int] = {n: i for i, n in enumerate(dict.fromkeys(names))}
        self._from = np.array([self.devices[key[0]] for key in tightest], dtype=np.intp)
        self._to = np.array([self.devices[key[1]] for key in tightest], dtype=np.intp)
        self._nbytes = np.array([key[2] for key in tightest], dtype=np.float64)
        self._least = np.array(list(tightest.values()), dtype=np.float64)

    def possible(self, rate: float, slack: float) -> bool:
        """Tell whether any offsets satisfy all messages at so many seconds a byte."""
        return self._reach(self._from, self._to, rate, slack, everywhere=True) is not None

    def most(self, slack: float) -> float:
        """Return the most seconds a byte that contradict no message."""
        low, high = 0.0, _SLOWEST
        if self.possible(high, slack):
            return 0.0  # No circle of messages carries bytes: nothing to tell it by.
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.possible(middle, slack) else (low, middle)
        return low

    def range(self, rate: float, slack: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the earliest and the latest offset of each device; infinite where unbounded."""
        low = self._reach(self._from, self._to, rate, slack)
        high = self._reach(self._to, self._from, rate, slack)
        assert low is not None  # noqa: S101 - asked for what is possible only
        assert high is not None  # noqa: S101 - the same circles the other way round
        return low, -high

    def _reach(
        self,
        origins: NDArray[np.intp],
        ends: NDArray[np.intp],
        rate: float,
        slack: float,
        *,
        everywhere: bool = False,
    ) -> NDArray[np.float64] | None:
        """Return the longest ways from the gateway, or from everywhere; None if one has no end."""
        far = np.full(len(self.devices), 0.0 if everywhere else -np.inf)
        far[self.devices[GATEWAY]] = 0.0
        steps = self._least + rate * self._nbytes - slack
        for _ in range(len(self.devices) + 1):
            before = far.copy()
            np.maximum.at(far, ends, before[origins] + steps)
            if np.allclose(far, before, rtol=0, atol=1e-9):
                return far
        return None


def _least(possible: Callable[[float], bool], start: float) -> float:
    """Return about the least value, from `start` on, that is possible."""
    high = start
    while not possible(high):
        high *= 1.1
    return high
