"""Requests that are over, of which the devices have yet to be told. Pure: time is handed in."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE = 0.005
"""Seconds that a CLOSE waits: under load a later OPEN says the same to the same devices sooner."""


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A CLOSE to send at `due` that is of use until `deadline`, both on the gateway's clock."""

    request: int
    attempt: int
    due: float
    deadline: float


class Dismissals:
    """What devices are to be told, oldest first.

    Every frame of a gateway names its lowest open request, and devices forget what is below. So
    only what no OPEN has covered in time needs a CLOSE of its own: one message less a device and
    request where requests follow each other.
    """

    def __init__(self) -> None:
        self._owed: dict[int, Dismissal] = {}

    def __len__(self) -> int:
        return len(self._owed)

    def owe(self, request: int, attempt: int, now: float, deadline: float) -> None:
        """Note that a request is over."""
        self._owed[request] = Dismissal(request, attempt, now + PATIENCE, deadline)

    def told(self, lowest: int) -> None:
        """Note that every device was sent the lowest open request."""
        self._owed = {number: owed for number, owed in self._owed.items() if number >= lowest}

    def next_due(self) -> float | None:
        """Return when `take` has something; None where nothing is owed."""
        return next((owed.due for owed in self._owed.values()), None)

    def take(self, now: float) -> list[Dismissal]:
        """Return what must be said by `now`; it counts as said."""
        due = [owed for owed in self._owed.values() if owed.due <= now]
        for owed in due:
            del self._owed[owed.request]
        return due
