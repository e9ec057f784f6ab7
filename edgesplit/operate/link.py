"""The link: the one thread of a gateway that owns its sockets and its open requests."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import zmq

from edgesplit.dataflow.table import GATEWAY
from edgesplit.dataflow.wire import Drop, Header, Kind
from edgesplit.deploy.record import Record
from edgesplit.errors import UsageError
from edgesplit.operate.beats import Beat, Roster, parse_beat
from edgesplit.operate.exchange import Exchange, Submission, fail_closed
from edgesplit.plan.coverage import survives
from edgesplit.runtime.transport import Arrival, Event, Outgoing, Parted, Refused, Shaken

T = TypeVar("T")

# The thread looks at what has expired at least this often, in seconds.
_TICK = 0.25
# Frames that a device may have under way to us: its answers for a window, and its beats.
_RECEIVE = 64
# Beats kept for whoever drains them; the oldest go first.
_KEPT = 20_000


class Link:
    """Speaks with the devices of a deployment, in a thread of its own.

    `submit`, `stop`, `look` and `wait` are for other threads. Answers and failures go into
    futures from the I/O thread.
    """

    def __init__(
        self,
        record: Record,
        secret: bytes,
        *,
        nonce: int,
        attempts: int,
        released: Callable[[], object],
    ) -> None:
        self._record = record
        self._secret = secret
        self._nonce = nonce
        self._attempts = attempts
        self._released = released
        self._submitted: deque[Submission] = deque()
        self._roster = Roster(record.table.devices, record.epoch)
        self._known = threading.Condition()
        self._stopped = False
        self._mouth, self._ear = socket.socketpair()
        for end in (self._mouth, self._ear):
            end.settimeout(0)
        self.dropped: Counter[str] = Counter()
        """Frames dropped here, by reason."""
        self.beats: deque[Beat] = deque(maxlen=_KEPT)
        """All beats since they were last drained, traces included."""
        self.thread = threading.Thread(target=self._run, name="edgesplit-gateway", daemon=True)

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
        """Return what `see` finds on the roster; it must not keep the roster."""
        with self._known:
            return see(self._roster)

    def wait(self, enough: Callable[[Roster], bool], timeout: float) -> bool:
        """Wait until the roster shows enough; tell whether it does."""
        with self._known:
            self._known.wait_for(lambda: self._stopped or enough(self._roster), timeout)
            return enough(self._roster)

    def _wake(self) -> None:
        # A full pipe has already woken the thread; a closed one has no thread to wake.
        with suppress(OSError):
            self._mouth.send(b"\0")

    def _run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        poller = zmq.Poller()
        poller.register(self._ear, zmq.POLLIN)
        outgoing = self._dial(context, poller)
        exchange = Exchange(
            self._record,
            outgoing,
            nonce=self._nonce,
            attempts=self._attempts,
            released=self._released,
        )
        try:
            while not self._stopped:
                self._turn(poller, outgoing, exchange)
        finally:
            self._end(exchange)
            outgoing.close()
            context.destroy(linger=0)

    def _dial(self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller) -> Outgoing:
        table = self._record.table
        answers = (flow.nbytes for flow in table.flows if GATEWAY in flow.receivers)
        return Outgoing(
            context,
            poller,
            secret=self._secret,
            peers={name: self._record.peers[name] for name in table.devices},
            max_frame=max(answers, default=0),
            greeting=Header(Kind.HELLO, self._record.epoch, self._nonce),
            receive=_RECEIVE,
        )

    def _turn(self, poller: zmq.Poller, outgoing: Outgoing, exchange: Exchange) -> None:
        events = dict(poller.poll(self._patience(exchange)))
        if self._ear.fileno() in events:
            self._ear.recv(4096)
        for event in outgoing.handle(events):
            drop = self._take(event, exchange)
            if drop is not None:
                self.dropped[drop] += 1
        now = time.monotonic()
        while self._submitted and exchange.takes(self._submitted[0], now):
            exchange.admit(self._submitted.popleft())
        exchange.advance(now, lambda: self.look(lambda roster: roster.silent(now)))
        outgoing.greet(exchange.hello())
        outgoing.expire(now)

    def _patience(self, exchange: Exchange) -> int:
        """Milliseconds until there is something to do without being told."""
        due = exchange.next_due()
        left = _TICK if due is None else min(_TICK, max(0.0, due - time.monotonic()))
        return int(left * 1000) + 1

    def _take(self, event: Event, exchange: Exchange) -> Drop | None:
        match event:
            case Arrival(header=Header(kind=Kind.DATA)):
                return exchange.take(event)
            case Arrival(header=Header(kind=Kind.BEAT)):
                return self._beat(event)
            case Arrival():
                return Drop.KIND
            case _:
                stuck = isinstance(event, Shaken) and self._waited_for(event.peer)
                self._contact(event)
                if stuck:
                    exchange.renew()
                return None

    def _waited_for(self, peer: str) -> bool:
        """Tell whether answers could not form without a device that is about to be back.

        Its neighbours may find it before we do, and it takes nothing of requests that it has not
        heard of from us: what they send meanwhile is gone.
        """
        now, table = time.monotonic(), self._record.table
        gone = self.look(lambda roster: frozenset(roster.silent(now))) | {peer}
        return not survives(table, gone) and survives(table, gone - {peer})

    def _contact(self, event: Shaken | Parted | Refused) -> None:
        with self._known:
            match event:
                case Shaken(peer):
                    self._roster.shaken(peer)
                case Parted(peer):
                    self._roster.parted(peer)
                case Refused(peer):
                    self._roster.refused(peer)
            self._known.notify_all()

    def _beat(self, arrival: Arrival) -> Drop | None:
        body = bytes(arrival.body)
        beat = parse_beat(arrival.sender, arrival.header.epoch, body, time.monotonic())
        if beat is None:
            return Drop.LENGTH
        self.beats.append(beat)
        with self._known:
            self._roster.heard(beat)
            self._known.notify_all()
        return None

    def _end(self, exchange: Exchange) -> None:
        """No future hangs: neither of what is open nor of what was about to be."""
        with self._known:
            self._stopped = True
            self._known.notify_all()
        exchange.end()
        for submission in self._submitted:
            self._released()
            fail_closed(submission.future)
        self._mouth.close()
        self._ear.close()
