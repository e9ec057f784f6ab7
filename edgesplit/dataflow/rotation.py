"""Rotation: which variant a request takes."""

from __future__ import annotations

from collections.abc import Collection


class Rotation:
    """Deals requests over variants: to where the fewest are open, in turn among equals.

    So variants of different speed get what they can take, and one that stalls gets no more.

    Args:
        variants: How many there are.
    """

    def __init__(self, variants: int) -> None:
        self._open = [0] * variants
        self._turn = 0

    def deal(self, able: Collection[int] = (), left: int | None = None) -> int:
        """Return the variant of a new attempt, which is open there until it is `taken` back.

        Args:
            able: The variants that can answer as far as is known; any is better than none.
            left: The variant of the attempt before, which is avoided where another is left.
        """
        variants = range(len(self._open))
        known = [variant for variant in variants if variant in able] or list(variants)
        choice = min([v for v in known if v != left] or known, key=self._rank)
        self._turn = choice + 1
        self._open[choice] += 1
        return choice

    def take(self, variant: int) -> None:
        """Note that an attempt is over."""
        self._open[variant] -= 1

    def _rank(self, variant: int) -> tuple[int, int]:
        return self._open[variant], (variant - self._turn) % len(self._open)
