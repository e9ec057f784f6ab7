"""What strangers, confused peers and the wrong keys can do to an executor: nothing."""

from __future__ import annotations

import random
import resource
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import pytest
import zmq
from executor_bed import PATIENCE, WIDTH, Bed, Client, Coded, Keys

from edgesplit.dataflow.wire import HEADER_BYTES, Drop, Header, Kind
from edgesplit.runtime import sockets

Connect = Callable[..., Client]
FRAMES = 100_000
GROWTH = 16 << 20
BLOCK = 12
"""Bytes of one block of the coded layer."""


def question(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((1, WIDTH)).astype(np.float32)


def assert_right(client: Client, layer: Coded, seed: int) -> None:
    x = question(seed)
    np.testing.assert_allclose(client.ask(x), layer.answer(x), atol=1e-5)


@contextmanager
def intruder(bed: Bed, device: str, keys: Keys) -> Iterator[zmq.Socket[bytes]]:
    """A bare DEALER with these keys that says whatever it is told to."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    peer = bed.peers[device]
    dealer = sockets.dealer(context, keys.secret, peer, max_frame=1 << 20, receive=100)
    dealer.sndhwm = 1000
    dealer.sndtimeo = int(PATIENCE * 1e3)
    dealer.connect(peer.endpoint)
    try:
        yield dealer
    finally:
        context.destroy(linger=0)


class Mutations:
    """Frames that an authenticated device, and then a gateway, must not get away with."""

    def __init__(self, good: Client, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secrets here
        self._good = good

    def of_device(self) -> list[bytes]:
        """A frame of device `a` for `m`, whose only right there is flow 1."""
        base = Header(
            Kind.DATA, 1, self._good.nonce, self._good.next, flow=1, length=BLOCK, dtype="float32"
        )
        base = base._replace(remaining=10**6)
        body = self._random.randbytes(BLOCK)
        choice = self._random.randrange(10)
        if choice < 2:
            return self._garbage(base, body)
        cut = self._random.randrange(BLOCK)
        number = self._random.randrange
        header, sent = [
            (base._replace(epoch=2 + number(2**31)), body),
            (base._replace(flow=[0, 2, 3, 4, 5, 6, 2**32 - 1][number(7)]), body),
            (base._replace(dtype=["uint8", "none", "float16", "int32"][number(4)]), body),
            (base._replace(length=number(2**32 - 100) + 100), body),
            (base._replace(length=cut), body[:cut]),
            (base, body[:cut]),
            (base._replace(nonce=2**63 + number(2**63)), body),
            (base._replace(request=base.request + 10_000 + number(2**60)), body),
        ][choice - 2]
        if self._random.random() < 0.1:
            header = header._replace(kind=self._random.choice([k for k in Kind if k != Kind.DATA]))
        return [header.pack(), sent]

    def of_gateway(self) -> list[bytes]:
        """A frame of another gateway that claims to be the good one."""
        base = Header(Kind.OPEN, 1, self._good.nonce, self._good.next, remaining=10**7)
        number = self._random.randrange
        header, body = [
            (base, b""),
            (base._replace(kind=Kind.CLOSE, lowest=2**60), b""),
            (base._replace(kind=Kind.HELLO, lowest=2**60), b""),
            (base._replace(kind=Kind.DATA, flow=1, length=BLOCK, dtype="float32"), bytes(BLOCK)),
            (base._replace(length=number(2**31) + 1), b""),
            (base._replace(kind=Kind.BEAT), b"{}"),
            (base._replace(attempt=1 + number(60_000)), b""),
        ][number(7)]
        return [header.pack(), body]

    def _garbage(self, base: Header, body: bytes) -> list[bytes]:
        packed = bytearray(base.pack())
        packed[self._random.randrange(3)] ^= 1 + self._random.randrange(254)
        return [
            [self._random.randbytes(self._random.randrange(200))],
            [base.pack(), body, b"more"],
            [base.pack()[: self._random.randrange(HEADER_BYTES)], body],
            [bytes(packed), body],
            [b"", b""],
        ][self._random.randrange(5)]


def throw_raw(port: int, count: int, seed: int) -> None:
    """Write random bytes to the port, some behind a proper ZMTP greeting, without any key."""
    generator = random.Random(seed)  # noqa: S311 - no secrets here
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
    with ExitStack() as stack:
        line: socket.socket | None = None
        for _ in range(count):
            chunk = generator.randbytes(generator.randrange(1, 300))
            with suppress(OSError):
                if line is None or generator.random() < 0.02:
                    stack.close()
                    line = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    line.settimeout(1)
                    chunk = greeting + chunk if generator.random() < 0.5 else chunk
                line.sendall(chunk)
                continue
            line = None


def test_a_hundred_thousand_bad_frames_change_nothing(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    rogue = Keys.new()
    bed.gateways.append(rogue)
    bed.start()
    good = connect().ready()
    port = bed.ports["m"]
    with intruder(bed, "m", bed.keys["a"]) as device, intruder(bed, "m", rogue) as gateway:
        before = 0
        for turn in range(20):
            mutations = Mutations(good, turn)
            for _ in range(FRAMES // 80):
                device.send_multipart(mutations.of_device())
                gateway.send_multipart(mutations.of_gateway())
            throw_raw(port, FRAMES // 40, turn)
            assert_right(good, layer, turn)
            before = before or bed.rss("m")
        good.until(lambda: sum(good.fresh("m")["dropped"].values()) >= FRAMES // 2)
    dropped = Counter(good.beats["m"]["dropped"])
    # The answers of the coded layer: of three rows, the one that comes last is late each time.
    assert sum(dropped.values()) - dropped[Drop.LATE] - dropped[Drop.CLOSED] == FRAMES // 2
    assert bed.processes["m"].poll() is None
    assert bed.rss("m") - before < GROWTH
    assert {Drop.HEADER, Drop.EPOCH, Drop.FLOW, Drop.SENDER, Drop.DTYPE, Drop.LENGTH} < set(dropped)
    assert {Drop.NONCE, Drop.WINDOW, Drop.KIND} < set(dropped)
    assert_right(good, layer, 99)


def test_three_hundred_silent_connections_starve_nobody(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    bed.start()
    connect().ready()
    resource.prlimit(bed.processes["m"].pid, resource.RLIMIT_NOFILE, (256, 256))
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", bed.ports["m"]), PATIENCE))
        client = connect().ready()
        for seed in range(5):
            assert_right(client, layer, seed)


def test_a_gateway_whose_key_is_not_listed_is_refused(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    bed.start()
    stranger, client = connect(Keys.new()), connect().ready()
    assert_right(client, layer, 1)
    stranger.until(lambda: stranger.refused >= set(bed.table.devices))
    assert not stranger.outgoing.connected
    assert not stranger.beats


def test_a_client_that_expects_another_server_key_does_not_connect(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    bed.start()
    client = connect().ready()
    true_keys, bed.keys["m"] = bed.keys["m"], Keys.new()
    deceived = connect()
    bed.keys["m"] = true_keys
    deceived.ready("a", "b", "p")
    assert_right(client, layer, 1)
    assert "m" not in deceived.outgoing.connected


def test_frames_of_another_epoch_are_fenced(bed: Bed, layer: Coded, connect: Connect) -> None:
    bed.start()
    client = connect().ready()
    stale = connect(epoch=7)
    stale.until(lambda: len(stale.outgoing.connected) == len(bed.table.devices))
    stale.open(question(1))
    stale.drain()
    client.until(lambda: client.fresh("m")["dropped"].get(Drop.EPOCH, 0) >= 2)
    assert client.beats["m"]["open"] == 0
    assert not stale.beats
    assert_right(client, layer, 2)


@pytest.mark.parametrize("flood", [200])
def test_a_flood_of_gateways_evicts_its_own(
    bed: Bed, layer: Coded, connect: Connect, flood: int
) -> None:
    rogue = Keys.new()
    bed.gateways.append(rogue)
    bed.start()
    client = connect().ready()
    with intruder(bed, "m", rogue) as gateway:
        for nonce in range(flood):
            gateway.send_multipart([Header(Kind.HELLO, 1, nonce).pack(), b""])
        client.until(lambda: client.fresh("m")["frames"] >= flood)
        assert_right(client, layer, 1)
