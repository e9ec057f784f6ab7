"""Which pins are to blame where no allocation can be found: the smallest set that conflicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

from edgesplit.errors import PinError, PlanError
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.pins import conflict
from edgesplit.spec.model import ModelSpec, Pin

Attempt = Callable[[ModelSpec], Allocation]
Pins = Sequence[Pin]

_SMALL = 2
"""Pins of the sets that are all tried, as long as there are not too many pins."""
_MOST = 8


def blaming_pins(model: ModelSpec, attempt: Attempt) -> Allocation:
    """Return what a way of planning finds, or name the pins that it can't meet.

    Raises:
        PinError: A pin is wrong, or the smallest set of pins that can't be met together.
        PlanError: There is no allocation even without pins.
    """
    try:
        return attempt(model)
    except PinError:
        raise
    except PlanError as error:
        blamed = _smallest(model, attempt)
        if not blamed:
            raise
        raise conflict(blamed, error.what) from error


def _smallest(model: ModelSpec, attempt: Attempt) -> Pins:
    """Return the least pins that can't be met; none where the model doesn't fit without any."""

    def met(pins: Pins) -> bool:
        try:
            attempt(replace(model, pins=tuple(pins)))
        except PlanError:
            return False
        return True

    if not met(()):
        return ()
    few = len(model.pins) <= _MOST
    sizes = range(1, min(len(model.pins), _SMALL if few else 1) + 1)
    sets = (pins for size in sizes for pins in combinations(model.pins, size))
    found = next((pins for pins in sets if not met(pins)), None)
    return found or _irreducible(model.pins, met)


def _irreducible(pins: Pins, met: Callable[[Pins], bool]) -> Pins:
    """Leave out pin after pin, as long as those that are left can't be met."""
    kept = list(pins)
    for pin in pins:
        fewer = [one for one in kept if one is not pin]
        if not met(fewer):
            kept = fewer
    return kept
