"""The switchboard: the one thread of a gateway, which owns its sockets and its open requests."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import zmq

from edgesplit.deploy.record import Record
from edgesplit.errors import UsageError
from edgesplit.operate.beats import Beat, Roster
from edgesplit.operate.epochs import Epochs, Reload
from edgesplit.operate.exchange import Submission, fail_closed
from edgesplit.operate.link import Link, Station
from edgesplit.operate.places import Places

T = TypeVar("T")

# The thread looks at what has expired at least this often, in seconds.
_TICK = 0.25


class Switchboard:
    """Speaks with the devices of a deployment, and of those that follow it.

    `submit`, `stop`, `look` and `wait` are for other threads. Answers and failures go into
    futures from the I/O thread.

    Args:
        record: The deployment to begin with.
        secret: The operator's CURVE secret key, Z85.
        attempts: Tries before a deadline, in each epoch.
        follow: Whether to go on to the epochs that follow.
        reload: Where to look for them while no device is there to tell.
    """

    def __init__(
        self,
        record: Record,
        secret: bytes,
        *,
        attempts: int,
        follow: bool,
        reload: Reload | None,
    ) -> None:
        self.record = record
        """The newest deployment."""
        self.places = Places(record.table.window)
        """The window of the newest deployment."""
        self._roster = Roster(record.table.devices, record.epoch)
        self._station = Station(secret, secrets.randbits(64), attempts, self.places.free)
        self._known = self._station.known
        self._follow, self._reload = follow, reload
        self._submitted: deque[Submission] = deque()
        self._stopped = False
        self._mouth, self._ear = socket.socketpair()
        for end in (self._mouth, self._ear):
            end.settimeout(0)
        self.thread = threading.Thread(target=self._run, name="edgesplit-gateway", daemon=True)

    @property
    def dropped(self) -> Counter[str]:
        """Frames dropped here, by reason."""
        return self._station.dropped

    @property
    def beats(self) -> deque[Beat]:
        """All beats since they were last drained, traces included."""
        return self._station.beats

    def submit(self, submission: Submission) -> None:
        """Hand a request to the I/O thread.

        Raises:
            UsageError: The gateway is closed.
        """
        with self._known:
            if self._stopped:
                raise UsageError("the gateway is closed", remedy="connect again")
            self._submitted.append(submission)
        self._wake()

    def stop(self) -> None:
        """Have the thread fail what is open and end."""
        with self._known:
            self._stopped = True
            self._known.notify_all()
        self._wake()

    def look(self, see: Callable[[Roster], T]) -> T:
        """Return what `see` finds on the newest roster; it must not keep the roster."""
        with self._known:
            return see(self._roster)

    def wait(self, enough: Callable[[Roster], bool], timeout: float) -> bool:
        """Wait until the newest roster shows enough; tell whether it does."""
        with self._known:
            self._known.wait_for(lambda: self._stopped or enough(self._roster), timeout)
            return enough(self._roster)

    def _wake(self) -> None:
        # A full pipe has already woken the thread; a closed one has no thread to wake.
        with suppress(OSError):
            self._mouth.send(b"\0")

    def _run(self) -> None:
        self._station.poller.register(self._ear, zmq.POLLIN)
        epochs = Epochs(self._station, self._announce, self._follow, self._reload)
        try:
            epochs.open(self.record, time.monotonic())
            while not self._stopped:
                self._turn(epochs)
        finally:
            self._end(epochs)
            self._station.context.destroy(linger=0)

    def _announce(self, link: Link) -> None:
        """Show other threads the newest epoch."""
        self.places.resize(link.record.table.window)
        with self._known:
            self.record, self._roster = link.record, link.roster
            self._known.notify_all()

    def _turn(self, epochs: Epochs) -> None:
        due = epochs.next_due()
        left = _TICK if due is None else min(_TICK, max(0.0, due - time.monotonic()))
        events = dict(self._station.poller.poll(int(left * 1000) + 1))
        if self._ear.fileno() in events:
            self._ear.recv(4096)
        epochs.handle(events)
        while self._submitted:
            epochs.waiting.append(self._submitted.popleft())
        epochs.turn(time.monotonic())

    def _end(self, epochs: Epochs) -> None:
        """No future hangs: neither of what is open nor of what was about to be."""
        with self._known:
            self._stopped = True
            self._known.notify_all()
        epochs.end()
        for submission in self._submitted:
            self.places.free()
            fail_closed(submission.future)
        self._mouth.close()
        self._ear.close()
