"""Load: requests at a steady rate or a steady number in flight, each with what became of it."""

from __future__ import annotations

import math
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from itertools import count
from typing import Protocol

from edgesplit.errors import RequestError, UsageError
from edgesplit.operate.requests import Answer, Arrays, Passage
from edgesplit.operate.workload import Oracle, Workload, difference, random_inputs, workload

__all__ = [
    "Counts",
    "Oracle",
    "Outcome",
    "Pattern",
    "Sample",
    "Target",
    "Workload",
    "difference",
    "random_inputs",
    "run",
    "tally",
    "total",
    "workload",
]


class Target(Protocol):
    """What load is put on: a gateway."""

    def submit(
        self, given: Arrays, /, *, deadline: float | None = None, wait: float = 0.0
    ) -> Future[Answer]:
        """Send a request; wait up to `wait` seconds for a place in the window."""
        ...


class Outcome(StrEnum):
    """What became of a request; only `OK` is good."""

    OK = "ok"
    LATE = "late"
    LOST = "lost"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a load; times are seconds since the load began, on the sender's clock.

    `intended` is when the request was due, `sent` when it was admitted, `done` when it was
    answered or given up. Latency counts from `intended`: a server that stalls also delays the
    requests that could not be sent meanwhile. `error` is the largest difference from the
    expected output relative to its largest value; None where nothing was expected. `rounding` is
    the same from the output without rounded activations; None where none are rounded.
    """

    index: int
    intended: float
    sent: float
    done: float
    outcome: Outcome
    error: float | None = None
    passage: Passage | None = None
    rounding: float | None = None

    @property
    def recovered(self) -> int:
        """Groups that were decoded on the way to the answer; 0 where there is none."""
        return self.passage.recovered if self.passage else 0

    @property
    def attempts(self) -> int:
        """Tries the answer took; 0 where there is none."""
        return self.passage.attempt + 1 if self.passage else 0

    @property
    def latency(self) -> float:
        """Seconds from the intended send time."""
        return self.done - self.intended


@dataclass(frozen=True, slots=True)
class Pattern:
    """When requests are sent: `rate` a second (open loop), or `in_flight` at a time (closed).

    `warm_up` requests come first and are not counted. `deadline` is in seconds from the intended
    send time.

    Raises:
        UsageError: The rate is not positive, or nothing would be in flight.
    """

    rate: float | None = None
    in_flight: int = 1
    warm_up: int = 0
    deadline: float = 10.0

    def __post_init__(self) -> None:
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise UsageError(f"{self.rate} requests a second is no rate")
        if self.in_flight < 1:
            raise UsageError(f"{self.in_flight} requests in flight are no load")


def run(
    target: Target,
    work: Workload,
    pattern: Pattern,
    *,
    requests: int | None = None,
    until: Callable[[], bool] | None = None,
    on_sample: Callable[[Sample], None] | None = None,
    origin: float | None = None,
) -> tuple[Sample, ...]:
    """Put load on a target and return a sample of every counted request, in order of sending.

    Args:
        target: Where requests go.
        work: What is sent.
        pattern: When it is sent.
        requests: How many to count; None goes on until `until` says so.
        until: Asked before every send whether enough were sent.
        on_sample: Called with every counted sample as it is known, in the caller's thread.
        origin: When the load begins, on the monotonic clock; now where it is None.

    A request that finds no place in the window before its deadline is lost.
    """
    total = None if requests is None else requests + pattern.warm_up
    load = _Load(target, work, pattern, on_sample, time.monotonic() if origin is None else origin)
    for index in count() if total is None else range(total):
        if until is not None and until():
            break
        load.send(index)
    return load.finish()


@dataclass(slots=True)
class _Sent:
    index: int
    intended: float
    sent: float


@dataclass
class _Load:
    """One run: sends when the pattern says so and collects answers in between."""

    target: Target
    work: Workload
    pattern: Pattern
    on_sample: Callable[[Sample], None] | None
    origin: float
    in_flight: int = 0
    samples: list[Sample] = field(default_factory=list)
    done: queue.SimpleQueue[tuple[_Sent, float, Future[Answer]]] = field(
        default_factory=queue.SimpleQueue
    )

    def send(self, index: int) -> None:
        """Send a request when it is due, and account for it."""
        intended = self._wait_turn(index)
        left = intended + self.pattern.deadline - self._now()
        sent = _Sent(index, intended, self._now())
        try:
            future = self._admit(index, left)
        except RequestError:
            self._note(self._lost(sent, self._now()))
            return
        sent.sent = self._now()
        self.in_flight += 1
        future.add_done_callback(lambda f: self.done.put((sent, self._now(), f)))

    def finish(self) -> tuple[Sample, ...]:
        """Wait for what is in flight; futures end by their deadlines."""
        while self.in_flight:
            self._take(None)
        return tuple(sorted(self.samples, key=lambda sample: sample.index))

    def _now(self) -> float:
        return time.monotonic() - self.origin

    def _admit(self, index: int, left: float) -> Future[Answer]:
        if left <= 0:
            raise RequestError("its deadline passed before it could be sent")
        return self.target.submit(self.work.feeds(index), deadline=left, wait=left)

    def _wait_turn(self, index: int) -> float:
        """Wait until request `index` may be sent; return when it was meant to be."""
        if self.pattern.rate is None:
            while self.in_flight >= self.pattern.in_flight:
                self._take(None)
            return self._now()
        intended = index / self.pattern.rate
        # What has been answered is taken even behind schedule, else nobody would hear of it.
        while (left := intended - self._now()) > 0 or not self.done.empty():
            self._take(max(left, 0.0))
        return intended

    def _take(self, timeout: float | None) -> None:
        try:
            sent, done, future = self.done.get(timeout=timeout)
        except queue.Empty:
            return
        self.in_flight -= 1
        self._note(self._sample(sent, done, future))

    def _note(self, sample: Sample) -> None:
        if sample.index < self.pattern.warm_up:
            return
        self.samples.append(sample)
        if self.on_sample is not None:
            self.on_sample(sample)

    def _sample(self, sent: _Sent, done: float, future: Future[Answer]) -> Sample:
        failure = future.exception()
        if isinstance(failure, RequestError):
            return self._lost(sent, done)
        if failure is not None:
            raise failure
        answer = future.result()
        error = self.work.error(sent.index, answer.outputs)
        late = done - sent.intended > self.pattern.deadline
        outcome = Outcome.LATE if late else Outcome.OK
        if error is not None and not error <= self.work.tolerance:
            outcome = Outcome.WRONG
        rounding = self.work.rounding(sent.index, answer.outputs)
        times = (sent.intended, sent.sent, done)
        return Sample(sent.index, *times, outcome, error, answer.passage, rounding)

    def _lost(self, sent: _Sent, done: float) -> Sample:
        return Sample(sent.index, sent.intended, sent.sent, done, Outcome.LOST)


@dataclass(frozen=True, slots=True)
class Counts:
    """Outcomes of a set of samples; `duplicated` are requests that were answered twice."""

    sent: int
    answered: int
    lost: int
    wrong: int
    late: int
    duplicated: int
    recovered: int

    @property
    def clean(self) -> bool:
        """Whether every request got its one right answer, in time or late."""
        return self.lost == self.wrong == self.duplicated == 0


def tally(samples: Iterable[Sample]) -> Counts:
    """Count the outcomes of samples."""
    kept = tuple(samples)
    outcomes = Counter(sample.outcome for sample in kept)
    times = Counter(sample.index for sample in kept)
    return Counts(
        sent=len(times),
        answered=len(kept) - outcomes[Outcome.LOST],
        lost=outcomes[Outcome.LOST],
        wrong=outcomes[Outcome.WRONG],
        late=outcomes[Outcome.LATE],
        duplicated=sum(number - 1 for number in times.values()),
        recovered=sum(sample.recovered > 0 for sample in kept),
    )


def total(parts: Iterable[Counts]) -> Counts:
    """Add up the counts of loads, one after another; there must be at least one."""
    return Counts(*map(sum, zip(*map(astuple, parts), strict=True)))
