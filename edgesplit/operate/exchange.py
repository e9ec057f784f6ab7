"""The exchange: the gateway's side of the protocol, over a transport that somebody else polls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from edgesplit.dataflow.table import GATEWAY, Port
from edgesplit.dataflow.wire import Drop, Header, Kind, screen
from edgesplit.deploy.record import Record
from edgesplit.errors import RequestError, RequestLost
from edgesplit.operate.dismissals import Dismissal, Dismissals
from edgesplit.operate.head import Head
from edgesplit.operate.requests import Answer, Array, Arrays, OpenRequest, Passage, Requests
from edgesplit.operate.ways import ways
from edgesplit.runtime.transport import Arrival, Outgoing


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that is yet to be admitted; times are on the monotonic clock.

    `ports` are what its feeds were checked against. One that was tried before, in an epoch that
    ended, was first admitted at `since`, and took `tries` attempts there.
    """

    feeds: Arrays
    ports: tuple[Port, ...]
    deadline: float
    future: Future[Answer]
    since: float | None = None
    tries: int = 0


class Exchange:
    """Opens requests, feeds them, assembles their answers, tries again and gives up.

    Args:
        record: The deployment to talk to.
        head: Computes what is left to the gateway.
        outgoing: Sends to its devices.
        nonce: Tells this gateway's requests from those of any other, past ones included.
        attempts: Tries before a deadline.
        first: The number of the first request.
        released: Called before a future ends, so that a callback finds the place free again.
        able: Returns the variants that can answer now; none where there is no choice.
    """

    def __init__(
        self,
        record: Record,
        head: Head,
        outgoing: Outgoing,
        *,
        nonce: int,
        attempts: int,
        first: int,
        released: Callable[[], object],
        able: Callable[[], frozenset[int]],
    ) -> None:
        self._record = record
        self._outgoing = outgoing
        self._nonce = nonce
        self._released = released
        self._flows = {flow.id: flow for flow in record.table.flows}
        self._requests = Requests(record.table, attempts, first)
        self._able = able
        self._ways = ways(record.table)
        self._head = head
        self._submissions: dict[int, Submission] = {}
        self._dismissals = Dismissals()

    @property
    def open(self) -> int:
        """Number of requests that are owed an answer."""
        return len(self._requests)

    @property
    def idle(self) -> bool:
        """Whether nothing is open, and devices know of all that is over."""
        return not self._requests and not self._dismissals

    def next_due(self) -> float | None:
        """Return when `advance` has work next; None where nothing is open."""
        due = self._requests.next_due(), self._dismissals.next_due()
        return min((moment for moment in due if moment is not None), default=None)

    def hello(self) -> Header:
        """Return the greeting for new connections."""
        return self._header(Kind.HELLO)

    def take(self, arrival: Arrival) -> Drop | None:
        """Take a DATA frame; return why it was dropped, if it was."""
        header = arrival.header
        if header.epoch != self._record.epoch:
            return Drop.EPOCH
        if header.nonce != self._nonce:
            return Drop.NONCE
        drop = screen(header, arrival.body.nbytes, arrival.sender, GATEWAY, self._flows)
        if drop is not None:
            return drop
        shape = self._flows[header.flow].shape
        data = np.frombuffer(arrival.body, dtype=header.dtype).reshape(shape)
        return self._offer(header, data)

    def _offer(self, header: Header, data: Array) -> Drop | None:
        found = self._requests.offer(header, data)
        if isinstance(found, OpenRequest):
            self._answer(found)
            return None
        return found

    def _answer(self, request: OpenRequest) -> None:
        formed = time.monotonic()
        outputs = self._head.answer(request.assembly.feeds(), request.variant)
        now = time.monotonic()
        submission = self._end(request)
        admitted = submission.since or request.admitted
        passage = Passage(
            request=request.number,
            attempt=request.attempt,
            last_flow=request.last_flow,
            recovered=request.assembly.recovered,
            latency=now - admitted,
            head=now - formed,
            earlier=submission.tries,
            admitted=admitted,
            variant=request.variant,
        )
        submission.future.set_result(Answer(outputs, passage))
        self._dismiss(request)

    def _lose(self, request: OpenRequest, silent: tuple[str, ...]) -> None:
        seconds = request.deadline - request.admitted
        what = f"request {request.number} has no answer after {seconds:.3g} s"
        failure = lost(f"{what} and {request.attempt + 1} attempts", silent)
        self._end(request).future.set_exception(failure)
        self._dismiss(request)

    def _end(self, request: OpenRequest) -> Submission:
        """Free the place of a request and return what asked; devices are told after the asker."""
        self._requests.close(request)
        self._released()
        return self._submissions.pop(request.number)

    def _dismiss(self, request: OpenRequest) -> None:
        """Send nothing more for a request, and have the devices forget it soon."""
        self._outgoing.forget(self._nonce, request.number)
        now = time.monotonic()
        number, deadline = request.number, request.deadline
        self._dismissals.owe(number, request.attempt, now, deadline, request.tried)

    def _close(self, owed: Dismissal) -> None:
        header = self._header(Kind.CLOSE, owed.request, owed.attempt)
        know = (self._ways[variant].devices for variant in sorted(owed.variants))
        for device in dict.fromkeys(chain.from_iterable(know)):
            self._outgoing.send(device, header, deadline=owed.deadline)

    @property
    def room(self) -> bool:
        """Whether devices would take the next request."""
        return self._requests.room

    def admit(self, submission: Submission) -> None:
        """Open a request and send what it needs."""
        now, able = time.monotonic(), self._able()
        request = self._requests.admit(submission.feeds, now, submission.deadline, able)
        self._submissions[request.number] = submission
        self._open(request)

    def _open(self, request: OpenRequest) -> None:
        """Announce an attempt and feed it; then tell the devices that wait for others' data."""
        way = self._ways[request.variant]
        self._announce(request, way.fed)
        for output in way.feeds:
            box = request.feeds[output.name][output.cut]
            self._feed(request, output.flow, np.ascontiguousarray(box))
        self._announce(request, way.unfed)
        self._dismissals.told(self._requests.lowest, request.variant)

    def _announce(self, request: OpenRequest, devices: tuple[str, ...]) -> None:
        header = self._header(Kind.OPEN, request.number, request.attempt, request.variant)
        for device in devices:
            self._outgoing.send(device, header, deadline=request.deadline)

    def _feed(self, request: OpenRequest, flow: int, data: Array) -> None:
        header = self._header(Kind.DATA, request.number, request.attempt, request.variant)
        header = header._replace(flow=flow, length=data.nbytes, dtype=str(data.dtype))
        for receiver in self._flows[flow].receivers:
            if receiver == GATEWAY:
                self._offer(header, data)
            else:
                self._outgoing.send(receiver, header, data, deadline=request.deadline)

    def _header(self, kind: Kind, request: int = 0, attempt: int = 0, variant: int = 0) -> Header:
        return Header(
            kind,
            self._record.epoch,
            self._nonce,
            request=request,
            lowest=self._requests.lowest,
            attempt=attempt,
            variant=variant,
        )

    def advance(self, now: float, silent: Callable[[], tuple[str, ...]]) -> None:
        """Lose what is past its deadline, try again what waited too long, close what is over.

        `silent` names the devices that are not heard, for the message.
        """
        due = self._requests.due(now, self._able())
        for request in due.lost:
            self._lose(request, silent())
        for request in due.again:
            self._outgoing.forget(self._nonce, request.number)
            self._open(request)
        for owed in self._dismissals.take(now):
            self._close(owed)

    def renew(self, able: frozenset[int]) -> None:
        """Try all open requests again: what they waited for is back, but not what it was told.

        `able` are the variants that can answer with it.
        """
        for request in self._requests.renew(able):
            self._outgoing.forget(self._nonce, request.number)
            self._open(request)

    def withdraw(self) -> list[Submission]:
        """Give up on all that is open, oldest first, so that it can be asked elsewhere."""
        withdrawn = []
        for request in self._requests.drain():
            submission = self._submissions.pop(request.number)
            since = submission.since or request.admitted
            tries = submission.tries + request.attempt + 1
            withdrawn.append(replace(submission, since=since, tries=tries))
            self._dismiss(request)
        return withdrawn

    def end(self) -> None:
        """Fail what is open, and tell the devices what is over."""
        for owed in self._dismissals.take(math.inf):
            self._close(owed)
        for request in self._requests.drain():
            self._released()
            fail_closed(self._submissions.pop(request.number).future)


def lost(what: str, silent: tuple[str, ...]) -> RequestLost:
    """Return the failure of a request whose time is over."""
    return RequestLost(
        f"{what}; silent: {', '.join(silent)}" if silent else f"{what}; every device is alive",
        where=", ".join(silent),
        remedy="look at `edgesplit status`; give requests a longer deadline if all is well",
    )


def fail_closed(future: Future[Answer]) -> None:
    """End a request that the gateway can no longer serve."""
    future.set_exception(RequestError("the gateway was closed before the answer came"))
