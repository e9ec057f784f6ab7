"""The compute thread: one piece of work at a time, the oldest request first."""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from threading import Event, Thread

import numpy as np
import onnxruntime as ort

from edgesplit.dataflow.assembly import Array
from edgesplit.errors import RuntimeFault
from edgesplit.runtime.attempt import Work
from edgesplit.runtime.failures import ORT_FAILURES
from edgesplit.runtime.session import output_names

_log = logging.getLogger(__name__)


# The part of a paced task's time before it computes: the devices that it imitates have processors
# of their own, so what it does must not hold up the messages of others on this one.
_LEAD = 1 / 3


@dataclass(frozen=True, slots=True)
class Done:
    """Computed work: one contiguous array an output of its task, in order.

    `start`, `end` and `paced` are seconds of the local clock: compute begun, ended, and the
    emulated device's end of it.
    """

    work: Work
    arrays: tuple[Array, ...]
    start: float
    end: float
    paced: float

    def trace(self, sent: float) -> list[float]:
        """Return request, attempt, task, last flow; seconds: formed, start, end, paced, sent."""
        work, attempt = self.work, self.work.attempt
        times = (work.formed, self.start, self.end, self.paced, sent)
        key = (attempt.request, attempt.number, work.task.id, work.last_flow)
        return [*key, *(round(moment, 6) for moment in times)]


@dataclass(slots=True)
class Tally:
    """What the compute thread has done since it started; seconds where not counts."""

    computed: int = 0
    failed: int = 0
    discarded: int = 0
    busy: float = 0.0
    slip_sum: float = 0.0
    slip_max: float = 0.0
    slips: int = 0
    queue_max: int = 0


class Compute:
    """Runs work on its own thread and wakes the I/O thread when some is done.

    Args:
        sessions: The session of each task that has a shard, by task id.
        pace: Seconds that each paced task must take, by task id.
        wake: Called, on the compute thread, when there is something to `take`.
    """

    def __init__(
        self,
        sessions: Mapping[int, ort.InferenceSession],
        pace: Mapping[int, float],
        wake: Callable[[], None],
    ) -> None:
        self.tally = Tally()
        self._sessions = sessions
        self._pace = pace
        self._wake = wake
        self._options = ort.RunOptions()
        self._order = count()
        self._heap: list[tuple[float, int, int, int, Work]] = []
        self._done: deque[Done] = deque()
        self._submitted: SimpleQueue[Work | None] = SimpleQueue()
        self._stop = Event()
        self._ended = False
        self._running: tuple[str, float] | None = None
        self._thread = Thread(target=self._loop, name="compute", daemon=True)
        self._thread.start()

    @property
    def queue(self) -> int:
        """Work that waits."""
        return len(self._heap) + self._submitted.qsize()

    def running(self, now: float) -> tuple[str, float] | None:
        """Return the running task's name and its age in seconds."""
        running = self._running
        return (running[0], now - running[1]) if running else None

    def submit(self, works: Sequence[Work]) -> None:
        """Queue work; requests that opened first are computed first."""
        for work in works:
            self._submitted.put(work)
        self.tally.queue_max = max(self.tally.queue_max, self.queue)

    def take(self) -> list[Done]:
        """Return what is done and not yet taken.

        Raises:
            RuntimeFault: The thread ended by itself; what it died of is on stderr.
        """
        if self._ended and not self._stop.is_set():
            raise RuntimeFault("the compute thread ended", remedy="see the log above this line")
        return [self._done.popleft() for _ in range(len(self._done))]

    def stop(self, seconds: float) -> bool:
        """End the thread, in the midst of a task if need be; tell whether it ended in time."""
        self._stop.set()
        self._options.terminate = True
        self._submitted.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        try:
            while (work := self._next()) is not None:
                self._compute(work)
                self._running = None
        finally:
            self._ended = True
            self._wake()

    def _next(self) -> Work | None:
        """Wait for work and return what is most urgent; None asks to end."""
        while True:
            try:
                work = self._submitted.get(block=not self._heap)
            except Empty:
                return heapq.heappop(self._heap)[-1]
            if work is None:
                return None
            attempt = work.attempt
            age = (attempt.opened, attempt.request, work.task.id, next(self._order))
            heapq.heappush(self._heap, (*age, work))

    def _compute(self, work: Work) -> None:
        start = time.monotonic()
        feeds, work.feeds = work.feeds, None
        if feeds is None or work.attempt.over or work.attempt.deadline <= start:
            self.tally.discarded += 1
            return
        self._running = (work.task.name, start)
        pace = self._pace.get(work.task.id)
        if pace is not None:
            self._stop.wait(pace * _LEAD)
        try:
            arrays = self._arrays(work, feeds)
        except ORT_FAILURES as error:  # One request must not end the rest.
            self.tally.failed += 1
            reason = str(error).partition("\n")[0]
            _log.error("task %s, request %d: %s", work.task.name, work.attempt.request, reason)
            return
        end = time.monotonic()
        paced = self._hold(pace, start, end)
        self.tally.computed += 1
        self.tally.busy += paced - start
        self._done.append(Done(work, arrays, start, end, paced))
        self._wake()

    def _arrays(self, work: Work, feeds: dict[str, Array]) -> tuple[Array, ...]:
        session = self._sessions.get(work.task.id)
        made = feeds
        if session is not None:
            names = output_names(work.task)
            made = dict(zip(names, session.run(names, feeds, self._options), strict=True))
        return tuple(
            np.asarray(made[output.name][output.cut], order="C") for output in work.task.outputs
        )

    def _hold(self, pace: float | None, start: float, end: float) -> float:
        """Wait until the emulated device would be done; return when that was."""
        if pace is None:
            return end
        self._stop.wait(max(0.0, start + pace - end))
        now = time.monotonic()
        slip = max(0.0, now - start - pace)
        self.tally.slips += 1
        self.tally.slip_sum += slip
        self.tally.slip_max = max(self.tally.slip_max, slip)
        return now
