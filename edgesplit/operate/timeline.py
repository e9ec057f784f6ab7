"""The measured timeline: what devices did when, from the traces of their tasks, on one axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgesplit.cost.timeline import COMPUTE, MESSAGES, Arrow, Span, Timeline, request_spans
from edgesplit.dataflow.table import Flow, Group, Task, TaskTable
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
    handing = _handing(table, drawn)
    spans = (*requests, *_computing(table, drawn), *handing.values())
    arrows = (
        arrow
        for one, span in zip(drawn, requests, strict=True)
        for way in ways
        if (arrow := _arrow(one, way, span, handing)) is not None
    )
    doubt = {name: clock.doubt for name, clock in clocks.items() if clock.doubt is not None}
    return Timeline(spans, tuple(arrows), doubt)


@dataclass(frozen=True, slots=True)
class _Way:
    """A flow from the task that makes it to one that reads it, on another device.

    `certain` says that the reader can't have formed without it: it is no coded row.
    """

    flow: Flow
    maker: Task
    reader: Task
    certain: bool


@dataclass(frozen=True)
class _Passed:
    """An answered request with its passage and its traces by task: those that ran but once."""

    table: TaskTable
    passage: Passage
    traces: Mapping[int, Trace]

    @property
    def formed(self) -> float:
        """When the answer had formed, on the gateway's clock."""
        return self.answered - self.passage.head

    @property
    def answered(self) -> float:
        return self.passage.admitted + self.passage.latency

    def messages(self, ways: Sequence[_Way]) -> Iterator[Message]:
        """Yield what is known of each contribution that certainly arrived."""
        for way in ways:
            left, arrived = self._left(way.maker), self._arrived(way)
            if left is not None and arrived is not None:
                names = way.maker.device, way.reader.device
                yield Message(*names, left, arrived, way.flow.nbytes)

    def on(self, clocks: Mapping[str, Clock]) -> _Passed:
        """Return it with the times of all devices on the gateway's clock."""
        shifted = {
            task: _shifted(trace, clocks[trace.device].offset)
            for task, trace in self.traces.items()
            if trace.device in clocks
        }
        return replace(self, traces=shifted)

    def _left(self, maker: Task) -> float | None:
        if maker is self.table.source:
            return self.passage.admitted
        trace = self.traces.get(maker.id)
        return trace.done if trace else None

    def _arrived(self, way: _Way) -> float | None:
        if way.reader is self.table.sink:
            formed, last = self.formed, self.passage.last_flow
        elif trace := self.traces.get(way.reader.id):
            formed, last = trace.formed, trace.last_flow
        else:
            return None
        return formed if way.certain or last == way.flow.id else None


def _ways(table: TaskTable) -> list[_Way]:
    made = makers(table)
    return [
        _Way(table.flows[flow], table.tasks[made[flow]], task, group.k == len(group.rows))
        for task in table.tasks
        for group in _groups(task)
        for row in group.rows
        for flow in row
        if flow in made and table.tasks[made[flow]].device != task.device
    ]


def _groups(task: Task) -> list[Group]:
    return [group for need in task.inputs for group in need.groups]


def _passed(table: TaskTable, part: Round) -> list[_Passed]:
    """Return the answered requests of a round, in the order of their admission."""
    traces = index_traces(part.traces)
    passages = [sample.passage for sample in part.samples if sample.passage]
    return [
        _Passed(
            table,
            passage,
            {
                task: ran[0]
                for task, ran in traces.get((passage.request, passage.attempt), {}).items()
                if len(ran) == 1
            },
        )
        for passage in sorted(passages, key=lambda passage: passage.admitted)
    ]


def _shifted(trace: Trace, offset: float) -> Trace:
    times = {name: getattr(trace, name) + offset for name in _TIMES}
    return replace(trace, **times)


_TIMES = ("formed", "start", "end", "paced", "sent")


def _computing(table: TaskTable, drawn: Sequence[_Passed]) -> Iterator[Span]:
    for one in drawn:
        for trace in one.traces.values():
            name, times = table.tasks[trace.task].name, (trace.start, trace.done)
            yield Span(trace.device, COMPUTE, name, trace.request, *times)


def _handing(table: TaskTable, drawn: Sequence[_Passed]) -> dict[tuple[int, int], Span]:
    """Return the handing over of results by request and task: one after the other on a device."""
    spans = {}
    free: defaultdict[str, float] = defaultdict(lambda: float("-inf"))
    traces = (trace for one in drawn for trace in one.traces.values())
    for trace in sorted(traces, key=lambda trace: trace.sent):
        start = max(trace.done, free[trace.device])
        free[trace.device] = trace.sent
        what = f"{table.tasks[trace.task].name} handed over"
        spans[trace.request, trace.task] = Span(
            trace.device, MESSAGES, what, trace.request, start, max(start, trace.sent)
        )
    return spans


def _arrow(
    one: _Passed, way: _Way, request: Span, handing: Mapping[tuple[int, int], Span]
) -> Arrow | None:
    """Return a contribution's way from its handing over to the reader's start, where both ran."""
    number, table = one.passage.request, one.table
    at_gateway = (request.device, request.resource)
    maker, reader = handing.get((number, way.maker.id)), one.traces.get(way.reader.id)
    if way.maker is table.source:
        sent = (at_gateway, request.start)
    elif maker is not None:
        sent = ((maker.device, maker.resource), maker.start)
    else:
        return None
    if way.reader is table.sink:
        received = (at_gateway, max(request.start, request.end - _JUST_BEFORE))
    elif reader is not None:
        received = ((reader.device, COMPUTE), reader.start)
    else:
        return None
    return Arrow(way.flow.value, *sent, *received)
