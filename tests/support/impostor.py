"""A device that has the right key and the wrong intentions."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Self

import zmq

from edgesplit.dataflow.wire import NO_REQUEST, Header, Kind
from edgesplit.runtime.transport import Listener


class Impostor(threading.Thread):
    """A device with the right key that says what it likes about its successor."""

    def __init__(
        self, endpoint: str, secret: bytes, operator: str, epoch: int, bodies: Sequence[bytes]
    ) -> None:
        super().__init__(daemon=True)
        self.bodies = list(bodies)
        self._epoch = epoch
        self._over = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._listener = Listener(
            self._context,
            self._poller,
            secret=secret,
            endpoint=endpoint,
            devices={},
            gateways=(operator,),
            max_frame=1 << 10,
            mark=8,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._listener.close()
        self._context.destroy(linger=0)

    def run(self) -> None:
        nonces: set[int] = set()
        while not self._over.is_set():
            for arrival in self._listener.handle(dict(self._poller.poll(100))):
                header = arrival.header
                if header.kind is Kind.HELLO:
                    nonces.add(header.nonce)
                    self._listener.register(header.nonce, arrival.route)
                elif header.kind is Kind.RECORD and self.bodies:
                    self._answer(header.nonce, self.bodies.pop(0))
            for nonce in nonces:
                self._beat(nonce)

    def _answer(self, nonce: int, body: bytes) -> None:
        ask = Header(Kind.RECORD, self._epoch, nonce, NO_REQUEST, lowest=2, length=len(body))
        self._listener.reply(nonce, ask, body)

    def _beat(self, nonce: int) -> None:
        told = dict.fromkeys(("open", "queue", "busy", "uptime", "rss", "anon_peak", "gateways"), 0)
        told |= dict.fromkeys(("computed", "failed"), 0)
        rest: dict[str, object] = {
            "ready": True,
            "running": None,
            "dropped": {},
            "slip": {"mean": 0, "max": 0, "count": 0},
            "traces": [],
            "successor": 7,
            "board": {"celsius": None, "throttled": None},
        }
        body = json.dumps(told | rest).encode()
        self._listener.reply(nonce, Header(Kind.BEAT, self._epoch, nonce, length=len(body)), body)
