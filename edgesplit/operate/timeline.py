"""The measured timeline: what devices did when, from the traces of their tasks, on one axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgesplit.cost.timeline import COMPUTE, MESSAGES, Arrow, Span, Timeline, request_spans
from edgesplit.dataflow.table import Flow, Task, TaskTable
from edgesplit.operate.clocks import Clock, Message, align
from edgesplit.operate.critical import Trace, index_traces, makers
from edgesplit.operate.requests import Passage
from edgesplit.operate.rounds import Round

DRAWN = 20
"""Requests that a timeline shows: the last ones of the last round."""

# Within the span that it ends, for arrows: viewers bind them to the span around the moment.
_JUST_BEFORE = 1e-6


def measured_timeline(table: TaskTable, rounds: Sequence[Round]) -> Timeline:
    """Return what the last requests of the last round did, in seconds of the gateway's clock.

    The devices' clocks are aligned by all requests of that round. A device that no message relates
    to the gateway is left out.
    """
    ways = _ways(table)
    passed = _passed(table, rounds[-1]) if rounds else []
    clocks = align(message for one in passed for message in one.messages(ways))
    drawn = [one.on(clocks) for one in passed[-DRAWN:]]
    requests = request_spans(
        (one.passage.request, one.passage.admitted, one.answered) for one in drawn
    )
    spans = (*requests, *(span for one in drawn for span in one.spans()))
    arrows = tuple(
        arrow
        for one, span in zip(drawn, requests, strict=True)
        for way in ways
        if (arrow := one.arrow(way, span)) is not None
    )
    doubt = {name: clock.doubt for name, clock in clocks.items() if clock.doubt is not None}
    return Timeline(spans, arrows, doubt)


@dataclass(frozen=True, slots=True)
class _Way:
    """A flow from the task that makes it to one that reads it, on another device.

    `certain` says that the reader can't have formed without it: it is no coded row.
    """

    flow: Flow
    maker: Task
    reader: Task
    certain: bool


def _ways(table: TaskTable) -> list[_Way]:
    made = makers(table)
    return [
        _Way(table.flows[flow], table.tasks[made[flow]], task, group.k == len(group.rows))
        for task in table.tasks
        for need in task.inputs
        for group in need.groups
        for row in group.rows
        for flow in row
        if flow in made and table.tasks[made[flow]].device != task.device
    ]


@dataclass(frozen=True, slots=True)
class _Ran:
    """A task as its device tells of it; it began to hand its results over at `handing`.

    That is later than it was done where the results of the task before were still being sent.
    """

    trace: Trace
    handing: float

    def later(self, seconds: float) -> _Ran:
        times = {name: getattr(self.trace, name) + seconds for name in _TIMES}
        return _Ran(replace(self.trace, **times), self.handing + seconds)


_TIMES = ("formed", "start", "end", "paced", "sent")


@dataclass(frozen=True)
class _Passed:
    """An answered request: its passage, and of its tasks those that ran but once."""

    table: TaskTable
    passage: Passage
    ran: Mapping[int, _Ran]

    @property
    def _source(self) -> Task:
        return self.table.sources[self.passage.variant]

    @property
    def _sink(self) -> Task:
        return self.table.sinks[self.passage.variant]

    @property
    def answered(self) -> float:
        """When it was answered, on the gateway's clock."""
        return self.passage.admitted + self.passage.latency

    def messages(self, ways: Sequence[_Way]) -> Iterator[Message]:
        """Yield what is known of each contribution that certainly arrived in time."""
        for way in ways:
            left, formed = self._left(way.maker), self._formed(way)
            if left is not None and formed is not None:
                names = way.maker.device, way.reader.device
                yield Message(*names, left, formed, way.flow.nbytes)

    def on(self, clocks: Mapping[str, Clock]) -> _Passed:
        """Return it with the times of all devices on the gateway's clock."""
        ran = {
            task: one.later(clocks[one.trace.device].offset)
            for task, one in self.ran.items()
            if one.trace.device in clocks
        }
        return replace(self, ran=ran)

    def spans(self) -> Iterator[Span]:
        """Yield what its tasks took of their devices: the processor, then the handing over."""
        for one in self.ran.values():
            trace, name = one.trace, self.table.tasks[one.trace.task].name
            yield Span(trace.device, COMPUTE, name, trace.request, trace.start, trace.done)
            sent = max(one.handing, trace.sent)
            yield Span(trace.device, MESSAGES, f"{name} sent", trace.request, one.handing, sent)

    def arrow(self, way: _Way, request: Span) -> Arrow | None:
        """Return a contribution's way from its handing over to its reader's start."""
        sent, formed = self._left(way.maker), self._formed(way)
        if sent is None or formed is None:
            return None
        gateway = (request.device, request.resource)
        maker = gateway if way.maker is self._source else (way.maker.device, MESSAGES)
        if way.reader is self._sink:
            end = max(request.start, request.end - _JUST_BEFORE)
            return Arrow(way.flow.value, maker, sent, gateway, end)
        reader = way.reader.device, COMPUTE
        return Arrow(way.flow.value, maker, sent, reader, self.ran[way.reader.id].trace.start)

    def _left(self, maker: Task) -> float | None:
        """Return the earliest moment at which a task's results can have left."""
        if maker is self._source:
            return self.passage.admitted
        return self.ran[maker.id].handing if maker.id in self.ran else None

    def _formed(self, way: _Way) -> float | None:
        """Return when the reader had formed, if it can't have without this contribution."""
        if way.reader is self._sink:
            formed, last = self.answered - self.passage.head, self.passage.last_flow
        elif way.reader.id in self.ran:
            trace = self.ran[way.reader.id].trace
            formed, last = trace.formed, trace.last_flow
        else:
            return None
        return formed if way.certain or last == way.flow.id else None


def _passed(table: TaskTable, part: Round) -> list[_Passed]:
    """Return the answered requests of a round, in the order of their admission."""
    traces, handing = index_traces(part.traces), _handing(part.traces)
    passages = [sample.passage for sample in part.samples if sample.passage]
    return [
        _Passed(
            table,
            passage,
            {
                task: _Ran(ran[0], handing[ran[0]])
                for task, ran in traces.get((passage.request, passage.attempt), {}).items()
                if len(ran) == 1
            },
        )
        for passage in sorted(passages, key=lambda passage: passage.admitted)
    ]


def _handing(traces: Iterable[Trace]) -> dict[Trace, float]:
    """Return when each task's results began to be handed over: one task's after another's."""
    begun = {}
    free: dict[str, float] = {}
    for trace in sorted(traces, key=lambda trace: trace.sent):
        begun[trace] = max(trace.done, free.get(trace.device, trace.done))
        free[trace.device] = trace.sent
    return begun
