"""The critical path: where the time of a request went, from the traces of its tasks.

Clocks of different devices are never compared. What passes between two tasks, wire and message
handling at both ends, is what remains of the latency when all that happened within devices is
taken away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgesplit.dataflow.table import TaskTable
from edgesplit.operate.requests import Passage


@dataclass(frozen=True, slots=True)
class Trace:
    """One task of one attempt on one device; times are seconds on that device's own clock.

    `last_flow` completed its inputs at `formed`; it computed from `start` to `end`, was held back
    until `paced`, and had handed its contributions over at `sent`.
    """

    device: str
    request: int
    attempt: int
    task: int
    last_flow: int
    formed: float
    start: float
    end: float
    paced: float
    sent: float

    @property
    def waiting(self) -> float:
        """Seconds between formed inputs and the start."""
        return self.start - self.formed

    @property
    def done(self) -> float:
        """When it had computed, pacing included."""
        return max(self.end, self.paced)

    @property
    def compute(self) -> float:
        """Seconds of computing, pacing included."""
        return self.done - self.start

    @property
    def overhead(self) -> float:
        """Seconds between the result and its sending."""
        return self.sent - self.done


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Seconds of a latency by cause; `tasks` is the critical path from source to answer."""

    latency: float
    compute: float
    wire: float
    waiting: float
    overhead: float
    tasks: tuple[int, ...]


Traces = Mapping[tuple[int, int], Mapping[int, tuple[Trace, ...]]]
"""Traces by request and attempt, then by task: several where replicas ran it."""


def index_traces(traces: Iterable[Trace]) -> Traces:
    """Sort traces by request and attempt, and by task."""
    index: dict[tuple[int, int], dict[int, tuple[Trace, ...]]] = {}
    for trace in traces:
        tasks = index.setdefault((trace.request, trace.attempt), {})
        tasks[trace.task] = (*tasks.get(trace.task, ()), trace)
    return index


def critical_path(table: TaskTable, traces: Traces, passage: Passage) -> Breakdown | None:
    """Walk back from the contribution that completed the answer to the source.

    Returns None where a trace on the way is missing: its device died before it told.
    """
    made, sources = makers(table), {source.id for source in table.sources}
    ran = traces.get((passage.request, passage.attempt), {})
    path: list[Trace] = []
    flow = passage.last_flow
    while (task := made.get(flow)) not in sources:
        found = ran.get(task, ()) if task is not None else ()
        if not found:
            return None
        path.append(found[0])
        flow = found[0].last_flow
    return _breakdown(path[::-1], passage)


def makers(table: TaskTable) -> dict[int, int]:
    """Return the task that makes each flow."""
    return {output.flow: task.id for task in table.tasks for output in task.outputs}


def _breakdown(path: Sequence[Trace], passage: Passage) -> Breakdown:
    compute = sum(trace.compute for trace in path)
    waiting = sum(trace.waiting for trace in path)
    overhead = sum(trace.overhead for trace in path) + passage.head
    return Breakdown(
        latency=passage.latency,
        compute=compute,
        wire=passage.latency - compute - waiting - overhead,
        waiting=waiting,
        overhead=overhead,
        tasks=tuple(trace.task for trace in path),
    )


def mean_breakdown(paths: Sequence[Breakdown]) -> Breakdown | None:
    """Return the mean of breakdowns, with the path that was critical most often."""
    if not paths:
        return None
    number = len(paths)
    ways = Counter(path.tasks for path in paths)
    return Breakdown(
        latency=sum(path.latency for path in paths) / number,
        compute=sum(path.compute for path in paths) / number,
        wire=sum(path.wire for path in paths) / number,
        waiting=sum(path.waiting for path in paths) / number,
        overhead=sum(path.overhead for path in paths) / number,
        tasks=ways.most_common(1)[0][0],
    )
