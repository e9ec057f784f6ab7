"""The dialled side of the transport."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

import zmq

from edgesplit.dataflow.wire import HEADER_BYTES, Header
from edgesplit.runtime import sockets
from edgesplit.runtime.arrival import (
    FOREVER,
    IN,
    NOW,
    NOW_AND_MORE,
    Arrival,
    Events,
    header_of,
    messages,
)
from edgesplit.runtime.outbox import Body, Letter, Outbox
from edgesplit.runtime.sockets import Context


class Listener:
    """A device's ROUTER with its ZAP handler: who is not known by key doesn't get in.

    A gateway registers its nonce; answers go to the connection it registered from. The sender of
    an arrival is the name that ZAP authenticated: the device's, or `gateway:<8 of its key>`.

    Args:
        context: The process's ZeroMQ context; it has room for one Listener.
        poller: The poller of the thread that owns this.
        secret: Our CURVE secret key, Z85, 40 bytes.
        endpoint: Where to bind.
        devices: Public key (Z85) of each device that may send, by name.
        gateways: Public keys (Z85) that may open requests.
        max_frame: Bytes of the largest body that fits the task table.
        mark: Answers that may be under way to one gateway at a time.

    Raises:
        zmq.ZMQError: The endpoint can't be bound.
    """

    def __init__(
        self,
        context: Context,
        poller: zmq.Poller,
        *,
        secret: bytes,
        endpoint: str,
        devices: Mapping[str, str],
        gateways: tuple[str, ...],
        max_frame: int,
        mark: int,
    ) -> None:
        self.malformed = 0
        """Frames dropped because they bore no header of ours."""
        self._names = sockets.names_by_key(dict(devices), gateways)
        self._routes: dict[int, bytes] = {}
        self._outboxes: dict[int, Outbox] = {}
        self._zap = sockets.zap(context)
        self._socket = sockets.router(
            context, secret, endpoint, max_frame=max(max_frame, HEADER_BYTES), mark=mark
        )
        for socket in (self._zap, self._socket):
            poller.register(socket, IN)
        self._socket.bind(endpoint)

    @property
    def waiting(self) -> int:
        """Answers in all outboxes."""
        return sum(map(len, self._outboxes.values()))

    @property
    def blocked(self) -> bool:
        """Whether answers wait for a gateway that is there: `handle` again within milliseconds."""
        return any(self._outboxes[nonce] for nonce in self._routes)

    def register(self, nonce: int, route: bytes) -> None:
        """Send this gateway's answers to this route; a later one replaces it."""
        self._routes[nonce] = route
        self._outboxes.setdefault(nonce, Outbox())
        self._flush(nonce)

    def unregister(self, nonce: int) -> None:
        """Forget a gateway and what waits for it."""
        self._routes.pop(nonce, None)
        self._outboxes.pop(nonce, None)

    def reply(
        self, nonce: int, header: Header, body: Body = b"", *, deadline: float = FOREVER
    ) -> None:
        """Send a frame to a registered gateway, as `Outgoing.send` does; else nothing happens."""
        if nonce in self._outboxes:
            self._outboxes[nonce].put(Letter(header, body, deadline))
            self._flush(nonce)

    def reachable(self, nonce: int) -> bool:
        """Tell whether the gateway's connection still stood when it was last sent to."""
        return nonce in self._routes

    def pending(self, nonce: int) -> int:
        """Return how many answers wait for this gateway to take them."""
        return len(self._outboxes.get(nonce, ()))

    def forget(self, nonce: int, request: int) -> None:
        """Drop the answers that still wait for one request."""
        if nonce in self._outboxes:
            self._outboxes[nonce].forget(nonce, request)

    def forget_below(self, nonce: int, lowest: int) -> None:
        """Drop the answers that still wait for requests older than `lowest`."""
        if nonce in self._outboxes:
            self._outboxes[nonce].forget_below(nonce, lowest)

    def expire(self, now: float) -> int:
        """Drop what is past its deadline and return how many that were."""
        return sum(outbox.expire(now) for outbox in self._outboxes.values())

    def handle(self, events: Events) -> list[Arrival]:
        """Take what the poller returned: admit peers, return arrivals, try again what waits."""
        if self._zap in events:
            self._admit()
        for nonce in [nonce for nonce in self._routes if self._outboxes[nonce]]:
            self._flush(nonce)
        return list(self._arrivals()) if self._socket in events else []

    def close(self) -> None:
        """Close the sockets at once."""
        self._socket.close(linger=0)
        self._zap.close(linger=0)

    def _admit(self) -> None:
        with suppress(zmq.Again):
            while True:
                frames = self._zap.recv_multipart(NOW)
                self._zap.send_multipart(sockets.answer_zap(frames, self._names))

    def _arrivals(self) -> Iterator[Arrival]:
        for frames in messages(self._socket):
            header = header_of(frames, 3)
            if header is None:
                self.malformed += 1
            else:
                # The name lives with the received frame, so ask this very frame.
                sender = str(frames[1].get("User-Id"))
                yield Arrival(sender, header, frames[2].buffer, frames[0].bytes)

    def _flush(self, nonce: int) -> None:
        if nonce in self._routes:
            self._outboxes[nonce].flush(lambda letter: self._deliver(nonce, letter))

    def _deliver(self, nonce: int, letter: Letter) -> bool:
        try:
            self._socket.send(self._routes[nonce], NOW_AND_MORE)
            self._socket.send(letter.stamp(time.monotonic()), NOW_AND_MORE)
            self._socket.send(letter.payload, NOW, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            # The gateway has gone; it registers again when it is back.
            del self._routes[nonce]
            return False
        return True
