"""The dialling side of the transport."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import zmq
from zmq.utils.monitor import recv_monitor_message

from edgesplit.dataflow.wire import Header
from edgesplit.runtime import sockets
from edgesplit.runtime.arrival import (
    FOREVER,
    IN,
    NOW,
    NOW_AND_MORE,
    OUT,
    Arrival,
    Events,
    header_of,
    messages,
)
from edgesplit.runtime.outbox import Body, Letter, Outbox
from edgesplit.runtime.program import Peer
from edgesplit.runtime.seldom import Seldom
from edgesplit.runtime.sockets import Context, Socket

MAX_BEAT = 1 << 20
"""Bytes that the body of a BEAT may have."""

# Seconds without a connection after which to dial anew; longer than a handshake may take.
_REDIAL = 3.0


@dataclass(frozen=True, slots=True)
class Shaken:
    """The CURVE handshake with this peer is done and frames can leave; the greeting goes first."""

    peer: str


@dataclass(frozen=True, slots=True)
class Parted:
    """The connection to this peer is gone; ZeroMQ is already dialling again."""

    peer: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The handshake with this peer failed: it doesn't know our key; we go on trying."""

    peer: str


Event = Shaken | Parted | Refused | Arrival


class Outgoing:
    """One DEALER per destination, owned by one I/O thread.

    Args:
        context: The process's ZeroMQ context.
        poller: The poller of the thread that owns this.
        secret: Our CURVE secret key, Z85, 40 bytes.
        peers: Whom to dial: name to endpoint and public key.
        max_frame: Bytes of the largest body that a peer may send us here (devices send nothing
            to devices this way; a gateway passes its largest answer flow; BEATs always fit).
        greeting: A header sent first on every new connection, before anything that waits: the
            HELLO of a gateway. `greet` replaces it.
        receive: The receive high-water mark, in messages.
        mute: Peers have nothing to say this way: what they send is looked for, and dropped, by
            `expire` only.
    """

    def __init__(
        self,
        context: Context,
        poller: zmq.Poller,
        *,
        secret: bytes,
        peers: Mapping[str, Peer],
        max_frame: int = 0,
        greeting: Header | None = None,
        receive: int = 1,
        mute: bool = False,
    ) -> None:
        self.malformed = 0
        """Frames dropped because they bore no header of ours."""
        self.stray = 0
        """Frames dropped because their sender is mute."""
        self._greeting = greeting
        self._mute = mute
        self._monitors = Seldom(poller)
        self._links: dict[str, _Link] = {}
        for name, peer in peers.items():
            socket = sockets.dealer(
                context, secret, peer, max_frame=max(max_frame, MAX_BEAT), receive=receive
            )
            link = _Link(name, peer.endpoint, socket, poller, listening=0 if mute else IN)
            self._links[name] = link
            self._monitors.add(link.monitor)
            link.dial()
        self._dialled = {link.socket: link for link in self._links.values()}

    @property
    def connected(self) -> frozenset[str]:
        """Peers that are handshaken now."""
        return frozenset(name for name, link in self._links.items() if link.shaken)

    @property
    def waiting(self) -> int:
        """Frames in all outboxes."""
        return sum(len(link.outbox) for link in self._links.values())

    def greet(self, greeting: Header) -> None:
        """Replace the greeting of connections to come (say, when `lowest` has advanced)."""
        self._greeting = greeting

    def send(
        self, peer: str, header: Header, body: Body = b"", *, deadline: float = FOREVER
    ) -> None:
        """Send a frame now, or as soon as the peer takes it, or never; it never blocks.

        A frame that waits is dropped at `deadline` (seconds of `time.monotonic`) and by `forget`
        and `forget_below`. A finite deadline is what the header's `remaining` says when the frame
        leaves. Don't change the body afterwards: large ones are not copied. `header.length` must
        be the body's bytes.

        Raises:
            KeyError: No such peer.
        """
        link = self._links[peer]
        link.outbox.put(Letter(header, body, deadline))
        link.flush(self._greeting)

    def forget(self, nonce: int, request: int) -> None:
        """Drop what still waits for one request."""
        for link in self._links.values():
            link.outbox.forget(nonce, request)

    def forget_below(self, nonce: int, lowest: int) -> None:
        """Drop what still waits for this gateway's requests older than `lowest`."""
        for link in self._links.values():
            link.outbox.forget_below(nonce, lowest)

    def expire(self, now: float) -> int:
        """Drop what is past its deadline and return how many that were.

        Call it a few times a second: it also dials anew where ZeroMQ has given up.
        """
        for link in self._links.values():
            link.redial(now)
            if self._mute:
                self.stray += sum(1 for _ in messages(link.socket))
        return sum(link.outbox.expire(now) for link in self._links.values())

    def handle(self, events: Events) -> list[Event]:
        """Take what the poller returned: connection changes and arrivals; flush outboxes."""
        found: list[Event] = []
        if self._monitors.heard(events):
            for link in self._links.values():
                found += link.changes()
                if link.eager:
                    link.flush(self._greeting)
        for socket, flags in events.items():
            known = self._dialled.get(socket)
            if known is not None:
                if flags & IN:
                    found += self._arrivals(known)
                if flags & OUT:
                    known.flush(self._greeting)
        return found

    def close(self) -> None:
        """Close all sockets at once; what waits is dropped."""
        self._monitors.close()
        for link in self._links.values():
            link.close()
        self._links, self._dialled = {}, {}

    def _arrivals(self, link: _Link) -> Iterator[Arrival]:
        for frames in messages(link.socket):
            header = header_of(frames, 2)
            if header is None:
                self.malformed += 1
            else:
                yield Arrival(link.peer, header, frames[1].buffer)


class _Link:
    """One destination: its socket, its monitor and what waits for it.

    The poller looks at the socket for `listening`, and for room where something waits for it.
    """

    def __init__(
        self, peer: str, endpoint: str, socket: Socket, poller: zmq.Poller, listening: int
    ) -> None:
        self.peer = peer
        self._endpoint = endpoint
        self._alive = time.monotonic()
        self.socket = socket
        self.monitor = socket.get_monitor_socket(sockets.WATCHED)
        self.outbox = Outbox()
        self.shaken = False
        self.eager = False
        self._poller = poller
        self._listening = self._watched = listening
        poller.register(socket, listening)

    def dial(self) -> None:
        """Begin to connect."""
        self.socket.connect(self._endpoint)

    def changes(self) -> Iterator[Event]:
        with suppress(zmq.Again):
            while True:
                event = recv_monitor_message(self.monitor, NOW)["event"]
                if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                    self.shaken = self.eager = True
                    yield Shaken(self.peer)
                elif event == zmq.Event.DISCONNECTED:
                    if self.shaken:
                        yield Parted(self.peer)
                    self.shaken = self.eager = False
                    self._alive = time.monotonic()
                    self._watch()
                else:
                    yield Refused(self.peer)

    def flush(self, greeting: Header | None) -> None:
        """Send what can go; `eager` says that the greeting of this connection still must."""
        if not self.shaken:
            return
        if self.eager:
            self.eager = greeting is not None and not self._deliver(Letter(greeting, b"", FOREVER))
        if not self.eager:
            self.outbox.flush(self._deliver)
        self._watch()

    def redial(self, now: float) -> None:
        """Dial anew: after a refusal ZeroMQ never does, though the peer may learn our key later."""
        if not self.shaken and now - self._alive > _REDIAL:
            self._alive = now
            self.socket.disconnect(self._endpoint)
            self.socket.connect(self._endpoint)

    def close(self) -> None:
        self._poller.modify(self.socket, 0)
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)

    def _watch(self) -> None:
        """Have the poller report room only where something waits for it."""
        wanted = self._listening
        if self.shaken and (self.eager or self.outbox):
            wanted |= OUT
        if wanted != self._watched:
            self._watched = wanted
            self._poller.modify(self.socket, wanted)

    def _deliver(self, letter: Letter) -> bool:
        if self._post(letter):
            return True
        # Asking makes libzmq look at its mailbox: a bare send may miss room made just now.
        room = cast("int", self.socket.get(zmq.EVENTS)) & OUT
        return bool(room) and self._post(letter)

    def _post(self, letter: Letter) -> bool:
        try:
            self.socket.send(letter.stamp(time.monotonic()), NOW_AND_MORE)
            self.socket.send(letter.payload, NOW, copy=False)
        except zmq.Again:
            return False
        return True
