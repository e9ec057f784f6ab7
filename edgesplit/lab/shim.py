"""The program that carries a wireless link: it moves frames between two taps, with their delays.

    python -m edgesplit.lab.shim TAP TAP SHAPE

It makes the taps where it runs, says `ready`, and goes on until it is ended; the taps end with it.
SHAPE is a `Shape` as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from edgesplit.lab.bed import Shape
from edgesplit.lab.radio import Channel, channels

READY = "ready"

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_LONGEST_FRAME = 2048
_AT_ONCE = 64
_MOST_WAITING = 8 << 20  # Bytes: what a fast link carries through the worst of delays.


@dataclass(slots=True)
class Way:
    """One direction: frames from the tap `entry` to the tap `exit_`, and those under way.

    What comes while `most` bytes are under way is dropped.
    """

    entry: int
    exit_: int
    channel: Channel
    most: int = _MOST_WAITING
    _under_way: deque[tuple[float, bytes]] = field(default_factory=deque, init=False)
    _bytes: int = field(default=0, init=False)

    @property
    def next_(self) -> float | None:
        """When the next frame is due, if there is one."""
        return self._under_way[0][0] if self._under_way else None

    def take(self) -> None:
        """Take in what waits at the entry."""
        for frame in _frames(self.entry):
            due = self.channel.send(time.monotonic())
            if due is not None and self._bytes + len(frame) <= self.most:
                self._under_way.append((due, frame))
                self._bytes += len(frame)

    def give(self) -> None:
        """Let out what is due; a tap that is shut loses it, as a cable does."""
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            frame = self._under_way.popleft()[1]
            self._bytes -= len(frame)
            with suppress(OSError):
                os.write(self.exit_, frame)


def carry(ways: Sequence[Way]) -> None:
    """Move frames both ways, forever."""
    by_entry = {way.entry: way for way in ways}
    while True:
        due = [way.next_ for way in ways if way.next_ is not None]
        patience = max(0.0, min(due) - time.monotonic()) if due else None
        for entry in select.select(list(by_entry), (), (), patience)[0]:
            by_entry[entry].take()
        for way in ways:
            way.give()


def _frames(tap: int) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        for _ in range(_AT_ONCE):
            yield os.read(tap, _LONGEST_FRAME)


def _tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    return tap


def main(arguments: Sequence[str]) -> None:
    """Carry a link between two taps of these names, of this shape."""
    there, here = map(_tap, arguments[:2])
    inward, outward = channels(Shape(**json.loads(arguments[2])))
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    carry((Way(there, here, inward), Way(here, there, outward)))


if __name__ == "__main__":
    main(sys.argv[1:])
