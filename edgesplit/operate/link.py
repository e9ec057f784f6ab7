"""The link: all that a gateway has to do with one epoch. It belongs to the gateway's one thread."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from edgesplit.dataflow.table import GATEWAY
from edgesplit.dataflow.wire import NO_REQUEST, TAKEN, Drop, Header, Kind
from edgesplit.deploy.record import Record
from edgesplit.operate.beats import Beat, Roster, parse_beat
from edgesplit.operate.exchange import Exchange, Submission
from edgesplit.operate.head import Head
from edgesplit.operate.inquiry import PATIENCE, Inquiry, successor
from edgesplit.plan.coverage import answering
from edgesplit.runtime.transport import Arrival, Event, Events, Outgoing, Parted, Refused, Shaken

# Frames that a device may have under way to us: its answers for a window, and its beats.
_RECEIVE = 64
# Beats kept for whoever drains them; the oldest go first.
_KEPT = 20_000


@dataclass(frozen=True)
class Station:
    """What all links of a gateway share.

    `poller` is that of the one thread that owns the sockets of `context`. `released` is called
    before a future ends. `known` guards what other threads may look at: the rosters. `dropped`
    counts frames by reason; `beats` are all since they were last drained.
    """

    secret: bytes
    nonce: int
    attempts: int
    released: Callable[[], object]
    context: zmq.Context[zmq.Socket[bytes]] = field(default_factory=zmq.Context)
    poller: zmq.Poller = field(default_factory=zmq.Poller)
    known: threading.Condition = field(default_factory=threading.Condition)
    dropped: Counter[str] = field(default_factory=Counter)
    beats: deque[Beat] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Link:
    """Speaks with the devices of one epoch.

    Args:
        record: The deployment.
        roster: What is known of its devices; changed under `station.known`.
        station: What it shares with the gateway's other links.
        first: The number of the first request.
    """

    def __init__(self, record: Record, roster: Roster, station: Station, first: int) -> None:
        self.record = record
        self.roster = roster
        self.horizon = sys.maxsize
        """The latest epoch that is known: only a later one is asked for."""
        self.heir: Record | None = None
        """The record of a later epoch, once a device has sent it."""
        self.left = False
        """Whether new requests go to another epoch."""
        self._station = station
        self._inquiry = Inquiry()
        self._idle_since: float | None = None
        self._covered: dict[frozenset[str], frozenset[int]] = {}
        head = Head.of(record)
        self._outgoing = self._dial(first)
        self._exchange = Exchange(
            record,
            head,
            self._outgoing,
            nonce=station.nonce,
            attempts=station.attempts,
            first=first,
            released=station.released,
            able=self._able,
        )

    @property
    def epoch(self) -> int:
        """The epoch that it serves."""
        return self.record.epoch

    @property
    def open(self) -> int:
        """Number of requests that are owed an answer."""
        return self._exchange.open

    @property
    def room(self) -> bool:
        """Whether devices would take the next request."""
        return self._exchange.room

    def able(self, now: float) -> bool:
        """Tell whether the devices that are ready are enough for an answer."""
        return bool(self._answering(self.roster.unable(now)))

    def current(self, now: float) -> bool:
        """Tell whether the devices where this epoch is current and ready are enough."""
        return bool(self._answering(self.roster.unable(now) | self.roster.superseded(now)))

    def lost(self, now: float) -> bool:
        """Tell whether what is open can't be answered by the devices that are heard."""
        return self.open > 0 and not self._answering(frozenset(self.roster.silent(now)))

    def idle(self, now: float) -> float:
        """Return the seconds for which nothing has been open, and nothing waited to be sent."""
        if not self._exchange.idle:
            self._idle_since = None
            return 0.0
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since

    def next_due(self) -> float | None:
        """Return when `advance` has work next; None where nothing is open."""
        return self._exchange.next_due()

    def handle(self, events: Events) -> None:
        """Take what the poller returned."""
        for event in self._outgoing.handle(events):
            drop = self._take(event)
            if drop is not None:
                self._station.dropped[drop] += 1

    def advance(self, now: float) -> None:
        """Retry, lose and close what is due."""
        self._exchange.advance(now, lambda: self.roster.silent(now))
        self._outgoing.greet(self._exchange.hello())
        self._outgoing.expire(now)

    def admit(self, submission: Submission) -> None:
        """Open a request and send what it needs."""
        self._exchange.admit(submission)

    def withdraw(self) -> list[Submission]:
        """Give up on all that is open, oldest first, so that it can be asked elsewhere."""
        return self._exchange.withdraw()

    def close(self) -> None:
        """Fail what is open, tell the devices what is over, and close the sockets."""
        self._exchange.end()
        self._outgoing.close()

    def _dial(self, first: int) -> Outgoing:
        table, station = self.record.table, self._station
        answers = (flow.nbytes for flow in table.flows if GATEWAY in flow.receivers)
        return Outgoing(
            station.context,
            station.poller,
            secret=station.secret,
            peers={name: self.record.peers[name] for name in table.devices},
            max_frame=max(answers, default=0),
            greeting=Header(Kind.HELLO, self.epoch, station.nonce, lowest=first),
            receive=_RECEIVE,
        )

    def _able(self) -> frozenset[int]:
        """Return the variants whose devices are ready now, where there are several."""
        if self.record.table.variants == 1:
            return frozenset()
        return self._answering(self.roster.unable(time.monotonic()))

    def _answering(self, gone: frozenset[str]) -> frozenset[int]:
        """Return the variants that answer without these devices; what was worked out is kept."""
        if gone not in self._covered:
            self._covered[gone] = answering(self.record.table, gone)
        return self._covered[gone]

    def _take(self, event: Event) -> Drop | None:
        match event:
            case Arrival(header=Header(kind=Kind.DATA)):
                return self._exchange.take(event)
            case Arrival(header=Header(kind=Kind.BEAT)):
                return self._beat(event)
            case Arrival(header=Header(kind=Kind.RECORD)):
                return self._piece(event)
            case Arrival():
                return Drop.KIND
            case _:
                back = self._waited_for(event.peer) if isinstance(event, Shaken) else None
                self._contact(event)
                if back:
                    self._exchange.renew(back)
                return None

    def _waited_for(self, peer: str) -> frozenset[int]:
        """Return the variants that answer again where none did without a device that is back.

        Its neighbours may find it before we do, and it takes nothing of requests that it has not
        heard of from us: what they send meanwhile is gone.
        """
        gone = frozenset(self.roster.silent(time.monotonic())) | {peer}
        return frozenset() if self._answering(gone) else self._answering(gone - {peer})

    def _contact(self, event: Shaken | Parted | Refused) -> None:
        with self._station.known:
            match event:
                case Shaken(peer):
                    self.roster.shaken(peer)
                case Parted(peer):
                    self.roster.parted(peer)
                case Refused(peer):
                    self.roster.refused(peer)
            self._station.known.notify_all()

    def _beat(self, arrival: Arrival) -> Drop | None:
        now = time.monotonic()
        beat = parse_beat(arrival.sender, arrival.header.epoch, bytes(arrival.body), now)
        if beat is None:
            return Drop.LENGTH
        self._station.beats.append(beat)
        with self._station.known:
            self.roster.heard(beat)
            self._station.known.notify_all()
        if beat.successor is not None:
            self._superseded(beat.device, beat.successor, now)
        return None

    def _superseded(self, device: str, successor: int, now: float) -> None:
        """Ask for a record that is news; have the device know, at each beat, that we have left."""
        if successor > self.horizon:
            if self._inquiry.begin(device, self.roster.superseded(now), now):
                self._ask(device, 0, now)
        elif self.left:
            self._ask(device, TAKEN, now)

    def _ask(self, device: str, piece: int, now: float) -> None:
        nonce = self._station.nonce
        header = Header(Kind.RECORD, self.epoch, nonce, request=NO_REQUEST, flow=piece)
        self._outgoing.send(device, header, deadline=now + PATIENCE)

    def _piece(self, arrival: Arrival) -> Drop | None:
        now, body = time.monotonic(), bytes(arrival.body)
        found = self._inquiry.take(arrival.sender, arrival.header, body, now)
        if isinstance(found, int):
            self._ask(arrival.sender, found, now)
        elif isinstance(found, Drop):
            return found
        else:
            self.heir = successor(found, self.record, self.horizon)
            return None if self.heir else Drop.RECORD
        return None
