"""The least time from the first operator of a request to the last, with barriers on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

_GROUPS = 64
"""Numbers of devices that are told apart; of more, neighbouring ones are taken together."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Crowd:
    """What devices are worth while some of them work, by groups of how many those are.

    `worth` is the price of a second of the dearest devices of a group's largest number, `lost` the
    share of all prices that the cheapest have who work on both sides of a barrier at least, the
    first behind it left out, by the groups before and behind.
    """

    worth: Array
    lost: Array


def crowd(seconds: Sequence[float]) -> Crowd:
    """Return what devices are worth whose seconds have these prices."""
    count = len(seconds)
    most = np.unique(np.geomspace(1, count, min(count, _GROUPS)).round().astype(int))
    if count <= _GROUPS:
        most = np.arange(1, count + 1)
    fewest = np.array([1, *(most[:-1] + 1)])
    dearest = np.array([0.0, *accumulate(sorted(seconds, reverse=True))])
    cheapest = np.array([0.0, *accumulate(sorted(seconds))])
    waiting = np.maximum(fewest[:, None] + fewest[None, :] - count - 1, 0)
    return Crowd(worth=dearest[most], lost=cheapest[waiting] / dearest[-1])


def least_seconds(works: Sequence[float], devices: Crowd, hop: float) -> float:
    """Return the least time in which devices do work that passes through gates.

    Every gate has a barrier before or behind it; one between two gates serves both.

    Args:
        works: What the bodies are worth and the gates between them, in order, in seconds: one
            body more than there are gates.
        devices: Who does it.
        hop: Seconds that a device loses at a barrier, unless it is the first behind it.
    """
    done = [0.0, *accumulate(works)]
    end = len(works)
    least = {0: np.zeros_like(devices.worth)}
    for begin in range(end):
        if begin in least:
            before = least[begin][:, None] + (hop * devices.lost if begin else 0.0)
            for barrier in _next(begin, end):
                found = before.min(axis=0) + (done[barrier] - done[begin]) / devices.worth
                least[barrier] = np.minimum(least.get(barrier, found), found)
    return float(least[end].min())


def _next(begin: int, end: int) -> Iterator[int]:
    """Yield where the barrier after this one may be, as numbers of bodies and gates before it.

    Behind gate `i` are `2 i` of them, before the next gate one more: either is the `i`th place, and
    no two gates follow each other without a barrier at one of their places.
    """
    place, gates = (begin // 2 if begin else -1), end // 2
    for later in (place + 1, place + 2):
        if later <= gates:
            yield from (at for at in (2 * later, 2 * later + 1) if 0 < at < end)
    if place >= gates - 1:
        yield end
