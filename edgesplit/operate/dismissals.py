"""Requests that are over, of which the devices have yet to be told. Pure: time is handed in."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST = frozenset({0})
"""Where there is only one variant."""
PATIENCE = 0.005
"""Seconds that a CLOSE waits: under load a later OPEN says the same to the same devices sooner."""


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A CLOSE to send at `due` that is of use until `deadline`, both on the gateway's clock.

    It is for the devices of `variants`.
    """

    request: int
    attempt: int
    due: float
    deadline: float
    variants: frozenset[int] = FIRST


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

    def owe(
        self,
        request: int,
        attempt: int,
        now: float,
        deadline: float,
        variants: frozenset[int] = FIRST,
    ) -> None:
        """Note that a request is over that the devices of these variants know of."""
        self._owed[request] = Dismissal(request, attempt, now + PATIENCE, deadline, variants)

    def told(self, lowest: int, variant: int = 0) -> None:
        """Note that every device of a variant was sent the lowest open request."""
        for owed in [owed for owed in self._owed.values() if owed.request < lowest]:
            untold = owed.variants - {variant}
            if untold:
                self._owed[owed.request] = replace(owed, variants=untold)
            else:
                del self._owed[owed.request]

    def next_due(self) -> float | None:
        """Return when `take` has something; None where nothing is owed."""
        return next((owed.due for owed in self._owed.values()), None)

    def take(self, now: float) -> list[Dismissal]:
        """Return what must be said by `now`; it counts as said."""
        due = [owed for owed in self._owed.values() if owed.due <= now]
        for owed in due:
            del self._owed[owed.request]
        return due
