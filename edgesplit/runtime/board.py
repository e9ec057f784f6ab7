"""The board: its temperature and whether it is throttled, where the kernel tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

EVERY = 2.0
"""Seconds between two readings: asking the firmware costs it time."""

_TEMPERATURE = Path("class/thermal/thermal_zone0/temp")
_THROTTLED = "devices/platform/soc*/soc*firmware/get_throttled"

Reading = Mapping[str, float | int | None]
"""`celsius`, and the bits of `throttled`; None where the board doesn't tell."""


class Board:
    """Reads a board's state at most every `EVERY` seconds.

    Args:
        system: Where sysfs is mounted.
    """

    def __init__(self, system: Path = Path("/sys")) -> None:
        self._temperature = system / _TEMPERATURE
        self._throttled = next(system.glob(_THROTTLED), None)
        self._due = -math.inf
        self._reading: Reading = {}

    def read(self, now: float) -> Reading:
        """Return the state as of `now` (seconds), or as it was shortly before."""
        if now >= self._due:
            self._due = now + EVERY
            millidegrees = _number(self._temperature, 10)
            self._reading = {
                "celsius": None if millidegrees is None else millidegrees / 1000,
                "throttled": None if self._throttled is None else _number(self._throttled, 16),
            }
        return self._reading


def _number(path: Path, base: int) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"), base)
    except (OSError, ValueError):
        return None
