"""A wire with faults: a TCP relay that cuts, stalls or damages what a client sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto


class Wire(Enum):
    """What happens once the client has sent so many bytes."""

    CUT = auto()
    """Both ends are reset."""
    STALL = auto()
    """Nothing goes on in either direction, and nobody is told."""
    FLIP = auto()
    """The byte at that place arrives with one bit wrong."""


@dataclass
class TcpRelay:
    """Carries connections to a server; the first `faulty` ones meet their fate after `after`."""

    server: tuple[str, int]
    fate: Wire
    after: int
    faulty: int = 1
    port: int = 0
    carried: int = 0
    """Bytes that clients have sent, of all connections."""
    seen: int = 0
    """Connections so far."""
    _ends: list[socket.socket] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        while not self._over.is_set():
            with suppress(OSError):
                client = listener.accept()[0]
                self._carry(client)

    def _carry(self, client: socket.socket) -> None:
        if self._over.is_set():
            client.close()
            return
        server = socket.create_connection(self.server)
        self._ends += client, server
        fate = self.fate if self.seen < self.faulty else None
        self.seen += 1
        held = threading.Event()
        for work in ((self._up, client, server, fate, held), (self._down, server, client, held)):
            threading.Thread(target=work[0], args=work[1:], daemon=True).start()

    def _up(
        self,
        client: socket.socket,
        server: socket.socket,
        fate: Wire | None,
        held: threading.Event,
    ) -> None:
        left = self.after
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if fate is not None and len(data) > left:
                    data = self._meet(fate, data, left, held, client, server)
                    fate = None
                left -= len(data)
                self.carried += len(data)
                server.sendall(data)
        _reset(client, server)

    def _meet(
        self,
        fate: Wire,
        data: bytes,
        left: int,
        held: threading.Event,
        *ends: socket.socket,
    ) -> bytes:
        if fate is Wire.FLIP:
            return data[:left] + bytes([data[left] ^ 4]) + data[left + 1 :]
        ends[1].sendall(data[:left])
        self.carried += left
        if fate is Wire.STALL:
            held.set()
            self._over.wait()
        raise ConnectionResetError

    def _down(self, server: socket.socket, client: socket.socket, held: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if held.is_set():
                    self._over.wait()
                client.sendall(data)
        if not held.is_set():
            _reset(server, client)

    def stop(self) -> None:
        self._over.set()
        _reset(*self._ends)


@contextmanager
def tcp_relay(
    server: tuple[str, int], fate: Wire, after: int, *, faulty: int = 1
) -> Iterator[TcpRelay]:
    """Yield a relay that listens beside the server, on a `port` of its own."""
    with socket.create_server((server[0], 0)) as listener:
        relay = TcpRelay(server, fate, after, faulty, listener.getsockname()[1])
        thread = threading.Thread(target=relay.serve, args=(listener,))
        thread.start()
        try:
            yield relay
        finally:
            relay.stop()
            with socket.create_connection(listener.getsockname()):
                thread.join()


def _reset(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
