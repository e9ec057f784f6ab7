"""Frames that could not leave yet: bounded by the requests they belong to, and gone with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import isinf
from typing import Any, NamedTuple, cast

from numpy.typing import NDArray

from edgesplit.dataflow.wire import MAX_REMAINING, Header

Body = bytes | memoryview | NDArray[Any]
"""Anything contiguous."""


class Letter(NamedTuple):
    """A frame to send: its header, its body (contiguous) and its deadline on the local clock.

    A finite deadline is written into the header's `remaining` when the frame really leaves, so
    that time spent waiting here counts.
    """

    header: Header
    body: Body
    deadline: float

    @property
    def payload(self) -> memoryview:
        """The body as a buffer."""
        return memoryview(cast("bytes", self.body))

    def stamp(self, now: float) -> bytes:
        """Return the header's bytes as of `now` (seconds)."""
        if isinf(self.deadline):
            return self.header.pack()
        remaining = int(max(0.0, self.deadline - now) * 1e6)
        return self.header.pack(min(remaining, MAX_REMAINING))


class Outbox:
    """Letters for one destination, first in, first out."""

    def __init__(self) -> None:
        self._letters: deque[Letter] = deque()

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter) -> None:
        """Keep a letter until it can leave, is forgotten or expires."""
        self._letters.append(letter)

    def flush(self, deliver: Callable[[Letter], bool]) -> None:
        """Deliver letters in order until `deliver` says that one must wait."""
        while self._letters and deliver(self._letters[0]):
            self._letters.popleft()

    def forget(self, nonce: int, request: int) -> None:
        """Drop what belongs to one request."""
        self._keep(lambda letter: (letter.header.nonce, letter.header.request) != (nonce, request))

    def forget_below(self, nonce: int, lowest: int) -> None:
        """Drop what belongs to this gateway's requests older than `lowest`."""
        self._keep(lambda letter: letter.header.nonce != nonce or letter.header.request >= lowest)

    def expire(self, now: float) -> int:
        """Drop what is past its deadline; return how many that were."""
        return self._keep(lambda letter: letter.deadline > now)

    def _keep(self, wanted: Callable[[Letter], bool]) -> int:
        before = len(self._letters)
        if before:
            self._letters = deque(filter(wanted, self._letters))
        return before - len(self._letters)
