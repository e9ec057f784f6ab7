"""Epochs: the links of one gateway, and which of them a request goes to.

Requests go to the newest epoch whose devices are ready. Until they are, those go to an older one
whose devices still take it for current, and wait where there is none. What is open in an epoch is
answered there; only where its devices are gone it is asked anew elsewhere. An epoch that has
nothing left to answer is let go.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from edgesplit.dataflow.wire import Drop
from edgesplit.deploy.record import Record
from edgesplit.errors import InputMismatch
from edgesplit.operate.beats import Roster
from edgesplit.operate.exchange import Submission, fail_closed, lost
from edgesplit.operate.link import Link, Station
from edgesplit.operate.requests import check_inputs
from edgesplit.runtime.failures import ORT_FAILURES
from edgesplit.runtime.transport import Events

Reload = Callable[[], Record | None]
"""Returns the record that is deployed by now, where it can be had; called in the I/O thread."""

# Seconds that an epoch's sockets outlive its last request: its last traces come with beats.
_LINGER = 0.6
# Seconds without a word of any device after which the record is read again, each time.
_AWAY = 2.0
# Requests of a gateway are numbered in ranges of this size, one an epoch: no two are the same.
_RANGE = 1_000_000_000
# What a record can be wrong in that only shows when it is used: its head, its addresses.
_UNUSABLE: tuple[type[Exception], ...] = (zmq.ZMQError, *ORT_FAILURES)


@dataclass
class Epochs:
    """Belongs to the thread of a switchboard; times are on the monotonic clock.

    Args:
        station: What all links share.
        announce: Called with the link of the newest epoch whenever that is another.
        follow: Whether to go on to the epochs that follow.
        reload: Where to look for them while no device is there to tell.
    """

    station: Station
    announce: Callable[[Link], object]
    follow: bool = True
    reload: Reload | None = None
    links: list[Link] = field(default_factory=list)
    waiting: deque[Submission] = field(default_factory=deque)
    _opened: int = 0
    _heard: float = 0.0

    def open(self, record: Record, now: float) -> None:
        """Dial the devices of an epoch."""
        roster = Roster(record.table.devices, record.epoch)
        first = self._opened * _RANGE
        link = Link(record, roster, self.station, first)
        self._opened += 1
        self._heard = now
        self._hold([*self.links, link])

    def handle(self, events: Events) -> None:
        """Take what the poller returned."""
        for link in self.links:
            link.handle(events)

    def turn(self, now: float) -> None:
        """Follow what devices told, admit what waits, retry and lose what is due."""
        self._succeed(now)
        target = self._target(now)
        for link in self.links:
            link.left = link is not target
        if target is not None:
            self._rescue(target, now)
            while self.waiting and target.room:
                self._admit(target, self.waiting.popleft())
        self._lose(now)
        for link in self.links:
            link.advance(now)
        if target is not None:
            self._retire(target, now)

    def next_due(self) -> float | None:
        """Return when `turn` has work next; None where nothing is open."""
        dues = [link.next_due() for link in self.links]
        dues += [submission.deadline for submission in self.waiting]
        return min((due for due in dues if due is not None), default=None)

    def end(self) -> None:
        """Fail what is open and what waits, and close all sockets."""
        for link in self.links:
            link.close()
        for submission in self.waiting:
            self.station.released()
            fail_closed(submission.future)

    def _succeed(self, now: float) -> None:
        """Open the epochs that devices told of, or the record on disk where no device is heard."""
        for link in tuple(self.links):
            heir, link.heir = link.heir, None
            self._try(heir, now)
        if not all(link.roster.away(now) for link in self.links):
            self._heard = now
        elif self.reload is not None and now - self._heard > _AWAY:
            self._heard = now
            self._try(self.reload(), now)

    def _try(self, record: Record | None, now: float) -> None:
        """Open an epoch of our cluster that is not open; count a record that can't be used."""
        if record is None or record.epoch in {link.epoch for link in self.links}:
            return
        if record.cluster != self.links[-1].record.cluster:
            return
        try:
            self.open(record, now)
        except _UNUSABLE:
            self.station.dropped[Drop.RECORD] += 1

    def _target(self, now: float) -> Link | None:
        """Return where new requests go; a single epoch takes them whatever its state."""
        *older, newest = self.links
        if not older or newest.able(now):
            return newest
        return next((link for link in reversed(older) if link.current(now)), None)

    def _rescue(self, target: Link, now: float) -> None:
        """Take back what devices that are gone can't answer: it goes first."""
        for link in reversed(self.links):
            if link is not target and link.lost(now):
                self.waiting.extendleft(reversed(link.withdraw()))

    def _admit(self, target: Link, submission: Submission) -> None:
        """Admit a request, unless it was meant for a model with other inputs."""
        ports = target.record.table.inputs
        try:
            if submission.ports != ports:
                check_inputs(ports, submission.feeds)
        except InputMismatch as mismatch:
            self._fail(submission, mismatch)
        else:
            target.admit(submission)

    def _lose(self, now: float) -> None:
        late = [submission for submission in self.waiting if submission.deadline <= now]
        if not late:
            return
        self.waiting = deque(s for s in self.waiting if s.deadline > now)
        newest = self.links[-1]
        what = f"epoch {newest.epoch} did not take a request before its deadline"
        for submission in late:
            self._fail(submission, lost(what, newest.roster.silent(now)))

    def _fail(self, submission: Submission, failure: Exception) -> None:
        self.station.released()
        submission.future.set_exception(failure)

    def _retire(self, target: Link, now: float) -> None:
        """Let go of older epochs that are done, and of newer ones that were given up."""
        kept = [link for link in self.links if link is target or not self._over(link, target, now)]
        if len(kept) < len(self.links):
            for link in self.links:
                if link not in kept:
                    link.close()
            self._hold(kept)

    def _over(self, link: Link, target: Link, now: float) -> bool:
        if link.idle(now) < _LINGER:
            return False
        return link.epoch < target.epoch or not target.roster.superseded(now)

    def _hold(self, links: list[Link]) -> None:
        before = self.links[-1] if self.links else None
        self.links = sorted(links, key=lambda link: link.epoch)
        newest = self.links[-1]
        for link in self.links:
            link.horizon = newest.epoch if self.follow else sys.maxsize
        if newest is not before:
            self.announce(newest)
