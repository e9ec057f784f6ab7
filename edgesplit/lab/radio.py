"""When a frame comes out of a wireless link that goes in now: a pure model, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from edgesplit.lab.bed import Shape

SPELL = 20e-3
"""Seconds for which a channel stays as it is: so long, frames share one delay."""

_LOSSES_IN_A_ROW = 3.0  # On the average; where more than that are lost anyhow, as many as it takes.


@dataclass(slots=True)
class Channel:
    """One direction of a wireless link.

    The delay is that of `shape` and an exponential one on top, drawn anew for the first frame after
    each spell. So a message of several frames has the delay of one draw, as it is measured, not the
    largest of many. Frames stay in order. Losses come in bursts (Gilbert's model).
    """

    shape: Shape
    random: random.Random
    _out: float = field(default=float("-inf"), init=False)
    _spell_ends: float = field(default=float("-inf"), init=False)
    _delay: float = field(default=0.0, init=False)
    _fading: bool = field(default=False, init=False)

    def send(self, now: float) -> float | None:
        """Return when a frame comes out that goes in `now`, in seconds; None if it is lost."""
        if self._loses():
            return None
        if now >= self._spell_ends:
            self._spell_ends = now + SPELL
            self._delay = self.shape.delay + self._tail()
        self._out = max(self._out, now + self._delay)
        return self._out

    def _tail(self) -> float:
        return self.random.expovariate(1 / self.shape.tail) if self.shape.tail else 0.0

    def _loses(self) -> bool:
        loss = self.shape.loss
        if not 0 < loss < 1:
            return loss >= 1
        odds = loss / (1 - loss)
        in_a_row = max(_LOSSES_IN_A_ROW, odds)
        ends = 1 / in_a_row
        self._fading = self.random.random() < (1 - ends if self._fading else odds * ends)
        return self._fading


def channels(shape: Shape) -> tuple[Channel, Channel]:
    """Return both directions of a link; they are independent."""
    return _channel(shape, "in"), _channel(shape, "out")


def _channel(shape: Shape, way: str) -> Channel:
    return Channel(shape, random.Random(f"{shape.seed} {way}"))  # noqa: S311 - no secret
