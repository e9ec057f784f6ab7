"""Places: how many requests of a gateway may be open; the number may change while they are."""

from __future__ import annotations

import threading


class Places:
    """A counting semaphore whose limit can be set anew.

    Args:
        limit: How many places may be taken.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._freed = threading.Condition()

    def take(self, wait: float) -> bool:
        """Take a place, waiting at most `wait` seconds; tell whether there was one."""
        with self._freed:
            if not self._freed.wait_for(lambda: self._taken < self._limit, max(0.0, wait)):
                return False
            self._taken += 1
            return True

    def free(self) -> None:
        """Give a place back."""
        with self._freed:
            self._taken -= 1
            self._freed.notify()

    def resize(self, limit: int) -> None:
        """Set the limit; places taken beyond it stay taken until they are given back."""
        with self._freed:
            self._limit = limit
            self._freed.notify_all()
