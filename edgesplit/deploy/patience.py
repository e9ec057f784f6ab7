"""Deadlines for calls that have none of their own: what doesn't move is cut, and then fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self


class Patience:
    """Calls `cut` once nothing has moved for so many seconds; never told of a move, it is total.

    `cut` runs in a thread of its own, and must make the call that is under way fail. `expired`
    says afterwards whether it had to.
    """

    def __init__(self, seconds: float, cut: Callable[[], None]) -> None:
        self.expired = False
        self._seconds, self._cut = seconds, cut
        self._moved = monotonic()
        self._over = threading.Event()
        # A daemon: a cut that takes its time must not keep an interrupted command alive.
        self._watch = threading.Thread(target=self._wait, daemon=True)

    def moved(self) -> None:
        """Begin to wait anew."""
        self._moved = monotonic()

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watch.join()

    def _wait(self) -> None:
        while not self._over.wait(self._moved + self._seconds - monotonic()):
            if monotonic() >= self._moved + self._seconds:
                self.expired = True
                self._cut()
                return
