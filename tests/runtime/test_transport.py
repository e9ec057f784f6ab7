"""Both halves of the transport in one poll loop: identities, outboxes, no send that blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import zmq
from executor_bed import PATIENCE, Keys, free_port
from numpy.typing import NDArray

from edgesplit.dataflow.wire import Header, Kind
from edgesplit.runtime.outbox import Letter, Outbox
from edgesplit.runtime.program import Peer
from edgesplit.runtime.transport import (
    FOREVER,
    Arrival,
    Event,
    Listener,
    Outgoing,
    Parted,
    Refused,
    Shaken,
)

HELLO = Header(Kind.HELLO, 1, 5)


def data(request: int, length: int = 0) -> Header:
    return Header(Kind.DATA, 1, 5, request, length=length)


@dataclass
class Ends:
    """A listening device `m`, and what dials it: device `a` and a gateway."""

    server: Keys = field(default_factory=Keys.new)
    device: Keys = field(default_factory=Keys.new)
    gateway: Keys = field(default_factory=Keys.new)
    port: int = field(default_factory=free_port)
    poller: zmq.Poller = field(default_factory=zmq.Poller)
    events: list[Event] = field(default_factory=list)
    heard: list[Arrival] = field(default_factory=list)
    dialling: list[Outgoing] = field(default_factory=list)
    listener: Listener | None = None

    def __post_init__(self) -> None:
        self.contexts: list[zmq.Context[zmq.Socket[bytes]]] = []

    def listen(self, *gateways: Keys) -> Listener:
        self.listening = self.context()
        self.listener = Listener(
            self.listening,
            self.poller,
            secret=self.server.secret,
            endpoint=f"tcp://127.0.0.1:{self.port}",
            devices={"a": self.device.public},
            gateways=tuple(keys.public for keys in gateways or (self.gateway,)),
            max_frame=1 << 22,
            mark=2,
        )
        return self.listener

    def dial(self, keys: Keys, greeting: Header | None = None, *, mute: bool = False) -> Outgoing:
        peers = {"m": Peer(f"tcp://127.0.0.1:{self.port}", self.server.public)}
        self.dialling.append(
            Outgoing(
                self.context(),
                self.poller,
                secret=keys.secret,
                peers=peers,
                greeting=greeting,
                mute=mute,
            )
        )
        return self.dialling[-1]

    def hang_up(self) -> None:
        """Close the listener, as a process does that ends."""
        assert self.listener is not None
        self.poller.unregister(self.listener._socket)
        self.poller.unregister(self.listener._zap)
        self.listener.close()
        # Only with its context is a socket surely closed, and the port free.
        self.listening.term()
        self.listener = None

    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        self.contexts.append(zmq.Context())
        return self.contexts[-1]

    def until(self, enough: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not enough():
            assert time.monotonic() < end
            events = dict(self.poller.poll(20))
            for outgoing in self.dialling:
                self.events += outgoing.handle(events)
                outgoing.expire(time.monotonic())
            if self.listener:
                self.heard += self.listener.handle(events)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    for context in ends.contexts:
        context.destroy(linger=0)


def test_senders_are_who_their_keys_say(ends: Ends) -> None:
    ends.listen()
    for keys in (ends.device, ends.gateway):
        ends.dial(keys).send("m", data(1))
    ends.until(lambda: len(ends.heard) == 2)
    gateway = f"gateway:{ends.gateway.public[:8]}"
    assert {arrival.sender for arrival in ends.heard} == {"a", gateway}


@pytest.mark.parametrize(
    "body",
    [
        np.ones((), np.float32),
        np.zeros((0, 3), np.float32),
        np.array([True, False]),
        np.arange(5, dtype=np.float16),
        np.arange(1 << 20, dtype=np.float32),
        b"",
    ],
    ids=["scalar", "empty", "bool", "float16", "large", "bytes"],
)
def test_bodies_arrive_as_they_left(ends: Ends, body: NDArray[Any] | bytes) -> None:
    ends.listen()
    raw = body if isinstance(body, bytes) else body.tobytes()
    ends.dial(ends.device).send("m", data(1, len(raw)), body)
    ends.until(lambda: ends.heard)
    assert ends.heard[0].header == data(1, len(raw))
    assert bytes(ends.heard[0].body) == raw


def test_what_is_sent_before_anyone_listens_waits_behind_the_greeting(ends: Ends) -> None:
    outgoing = ends.dial(ends.gateway, HELLO)
    for request in range(4):
        outgoing.send("m", data(request), deadline=time.monotonic() + 100)
    outgoing.send("m", data(9), deadline=time.monotonic() - 1)
    outgoing.forget(5, 2)
    outgoing.forget_below(5, 1)
    assert outgoing.expire(time.monotonic()) == 1
    assert outgoing.waiting == 2
    ends.listen()
    ends.until(lambda: len(ends.heard) == 3)
    assert [arrival.header.request for arrival in ends.heard] == [0, 1, 3]
    assert ends.heard[0].header == HELLO
    assert 0 < ends.heard[1].header.remaining < 100_000_000


def test_sends_to_a_peer_that_reads_nothing_do_not_block(ends: Ends) -> None:
    ends.listen()
    outgoing = ends.dial(ends.device)
    ends.until(lambda: outgoing.connected)
    silent, ends.listener = ends.listener, None
    body = np.zeros(1 << 20, np.float32)
    for request in range(50):
        outgoing.send("m", data(request, body.nbytes), body)
    assert outgoing.waiting > 0
    outgoing.forget_below(5, 50)
    assert outgoing.waiting == 0
    ends.listener = silent
    outgoing.send("m", data(50))
    ends.until(lambda: ends.heard and ends.heard[-1].header.request == 50)


def test_answers_wait_for_a_gateway_that_is_away(ends: Ends) -> None:
    listener = ends.listen()
    first = ends.dial(ends.gateway, HELLO)
    ends.until(lambda: ends.heard)
    listener.register(5, ends.heard[0].route)
    listener.reply(5, data(1))
    ends.until(lambda: any(isinstance(event, Arrival) for event in ends.events))
    ends.dialling.remove(first)
    first.close()

    def unreachable() -> bool:
        listener.reply(5, data(2), deadline=FOREVER)
        return not listener.reachable(5)

    ends.until(unreachable)
    assert listener.waiting > 0
    assert not listener.blocked
    listener.forget(5, 2)
    listener.reply(5, data(3))
    ends.heard.clear()
    ends.events.clear()
    ends.dial(ends.gateway, HELLO)
    ends.until(lambda: ends.heard)
    listener.register(5, ends.heard[0].route)
    ends.until(lambda: any(isinstance(event, Arrival) for event in ends.events))
    answers = [e.header.request for e in ends.events if isinstance(e, Arrival)]
    assert answers == [3]


def test_what_comes_from_a_mute_peer_is_dropped_and_counted(ends: Ends) -> None:
    listener = ends.listen()
    outgoing = ends.dial(ends.device, HELLO, mute=True)
    ends.until(lambda: ends.heard)
    listener.register(HELLO.nonce, ends.heard[0].route)
    listener.reply(HELLO.nonce, data(1))
    ends.until(lambda: outgoing.stray == 1)
    assert not any(isinstance(event, Arrival) for event in ends.events)


def test_a_lost_connection_is_told_and_mended(ends: Ends) -> None:
    ends.listen()
    outgoing = ends.dial(ends.device)
    ends.until(lambda: outgoing.connected)
    ends.hang_up()
    ends.until(lambda: Parted("m") in ends.events)
    assert not outgoing.connected
    outgoing.send("m", data(7))
    ends.listen()
    ends.until(lambda: ends.heard)
    assert ends.heard[0].header == data(7)
    assert ends.events.count(Shaken("m")) == 2


def test_a_peer_that_learns_our_key_later_is_dialled_again(ends: Ends) -> None:
    """ZeroMQ by itself never dials again after a refusal."""
    ends.listen(Keys.new())
    outgoing = ends.dial(ends.gateway, HELLO)
    ends.until(lambda: Refused("m") in ends.events)
    ends.hang_up()
    ends.listen()
    ends.until(lambda: ends.heard)
    assert outgoing.connected == {"m"}
    assert ends.heard[0].header == HELLO


def test_an_outbox_keeps_its_order_and_forgets_by_request() -> None:
    outbox = Outbox()
    for nonce, request in [(1, 0), (1, 1), (2, 0), (1, 2)]:
        outbox.put(Letter(Header(Kind.DATA, 1, nonce, request), b"", 10.0 + request))
    outbox.forget(1, 1)
    outbox.forget_below(2, 1)
    assert outbox.expire(10.0) == 1
    sent: list[Letter] = []

    def deliver(letter: Letter) -> bool:
        sent.append(letter)
        return True

    outbox.flush(deliver)
    assert [(s.header.nonce, s.header.request) for s in sent] == [(1, 2)]


def test_a_letter_says_what_remains_when_it_leaves() -> None:
    letter = Letter(data(1), b"", 10.0)
    stamped = [Header.unpack(letter.stamp(now)) for now in (9.5, 11.0, -1e6)]
    assert [header.remaining for header in stamped if header] == [500_000, 0, 2**32 - 1]
    assert Letter(data(1), b"", FOREVER).stamp(3.0) == data(1).pack()
