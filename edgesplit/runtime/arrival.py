"""What arrives: frames of the right form, with the sender that was authenticated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import zmq

from edgesplit.dataflow.wire import HEADER_BYTES, Header
from edgesplit.runtime.sockets import Socket

FOREVER = float("inf")
"""The deadline of a frame that never expires by itself."""

Events = Mapping[Any, int]
"""What `dict(poller.poll(...))` returned: sockets (or descriptors) with their ready flags."""

# Plain numbers: arithmetic on flag enumerations costs more than the calls they are for.
NOW, NOW_AND_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
IN, OUT = int(zmq.POLLIN), int(zmq.POLLOUT)

# Frames taken from one socket in one turn, so that no sender keeps the others waiting.
_TURN = 64


class Arrival(NamedTuple):
    """A frame of the right form: authenticated sender, header, body.

    `body` is a read-only view of the received message; whoever keeps the view keeps the message
    alive. `route` is where an answer would go (Listener only).
    """

    sender: str
    header: Header
    body: memoryview
    route: bytes = b""


def messages(socket: Socket) -> Iterator[list[zmq.Frame]]:
    """Yield the messages that are there, a turn's worth at most."""
    for _ in range(_TURN):
        # Cheaper than an exception for every turn's end.
        if not cast("int", socket.get(zmq.EVENTS)) & IN:
            return
        frames = [socket.recv(NOW, copy=False)]
        while frames[-1].more:  # Asking the frame is cheaper than asking the socket.
            frames.append(socket.recv(NOW, copy=False))
        yield frames


def header_of(frames: list[zmq.Frame], parts: int) -> Header | None:
    """Return the header, which comes last but one; None where the message has another form."""
    if len(frames) != parts or len(frames[-2]) != HEADER_BYTES:
        return None
    return Header.unpack(frames[-2].bytes)
