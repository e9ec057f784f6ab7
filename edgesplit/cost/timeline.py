"""Timelines: what each resource of each device did when, simulated or measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgesplit.cost.costs import Costs
from edgesplit.cost.passing import Device, Message, Passing, Request
from edgesplit.dataflow.table import GATEWAY, Task, TaskTable

COMPUTE, MESSAGES, SENDING, RECEIVING = "compute", "messages", "sending", "receiving"
"""The resources of a device: its processor, what messages take of it, and its link both ways."""
REQUESTS = "requests"
"""Of the gateway, with the number of a lane: a request from its admission to its answer."""


@dataclass(frozen=True, slots=True)
class Span:
    """A resource of a device at work on something, from `start` to `end` in seconds."""

    device: str
    resource: str
    what: str
    request: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Arrow:
    """A contribution from one span to another: their resources, and a moment within each."""

    what: str
    sender: tuple[str, str]
    sent: float
    receiver: tuple[str, str]
    received: float


@dataclass(frozen=True)
class Timeline:
    """Spans in the order of their making, those of one resource one after the other, and arrows.

    `doubt` is by how many seconds the clock of a device may be off where it had to be estimated.
    """

    spans: tuple[Span, ...]
    arrows: tuple[Arrow, ...] = ()
    doubt: Mapping[str, float] = field(default_factory=dict)


def timeline(table: TaskTable, costs: Costs, requests: int = 1, window: int = 1) -> Timeline:
    """Return what a simulation of so many requests does, to the end of all that they began.

    Raises:
        ValueError: The answer never forms: the table is no complete dataflow.
    """
    passing = _Recorded(table, costs, requests, window)
    answers = passing.answer()
    passing.finish()
    spans = request_spans((one.number, one.admitted, one.answered or 0.0) for one in answers)
    return Timeline((*spans, *passing.spans), tuple(passing.arrows))


def request_spans(requests: Iterable[tuple[int, float, float]]) -> list[Span]:
    """Return requests as spans of the gateway, in as many lanes as were open at a time.

    Args:
        requests: Number, admission and answer of each, in seconds.
    """
    lanes: list[float] = []
    spans = []
    for number, admitted, answered in sorted(requests, key=lambda request: request[1]):
        free = [lane for lane, until in enumerate(lanes) if until <= admitted]
        lane = free[0] if free else len(lanes)
        lanes[lane : lane + 1] = [answered]
        what = f"request {number}"
        spans.append(Span(GATEWAY, f"{REQUESTS} {lane + 1}", what, number, admitted, answered))
    return spans


class _Recorded(Passing):
    """Writes down what every resource is taken for; what takes no time leaves no span."""

    def __init__(self, table: TaskTable, costs: Costs, requests: int, window: int) -> None:
        super().__init__(table, costs, requests, window)
        self.spans: list[Span] = []
        self.arrows: list[Arrow] = []
        self._left: dict[int, float] = {}

    def _run(self, request: Request, task: Task, device: Device, now: float) -> None:
        super()._run(request, task, device, now)
        self._note(device, COMPUTE, task.name, request, (now, device.compute))

    def _dispatch(self, message: Message, now: float) -> None:
        start = max(now, message.sender.messages)
        super()._dispatch(message, now)
        self._sent(message, MESSAGES, (start, message.sender.messages))

    def _transmit(self, message: Message, now: float) -> None:
        start = max(now, message.sender.sending)
        super()._transmit(message, now)
        self._sent(message, SENDING, (start, message.sender.sending))
        self._left[id(message)] = start

    def _receive(self, message: Message, now: float) -> None:
        start = max(now, message.receiver.receiving)
        super()._receive(message, now)
        self._received(message, RECEIVING, (start, message.receiver.receiving))
        way = (message.sender.name, SENDING), (message.receiver.name, RECEIVING)
        left = self._left.pop(id(message))
        self.arrows.append(Arrow(message.flow.value, way[0], left, way[1], start))

    def _price(self, message: Message, now: float) -> None:
        start = max(now, message.receiver.messages)
        super()._price(message, now)
        self._received(message, MESSAGES, (start, message.receiver.messages))

    def _sent(self, message: Message, resource: str, times: tuple[float, float]) -> None:
        what = f"{message.flow.value} to {message.receiver.name}"
        self._note(message.sender, resource, what, message.request, times)

    def _received(self, message: Message, resource: str, times: tuple[float, float]) -> None:
        what = f"{message.flow.value} from {message.sender.name}"
        self._note(message.receiver, resource, what, message.request, times)

    def _note(
        self,
        device: Device,
        resource: str,
        what: str,
        request: Request,
        times: tuple[float, float],
    ) -> None:
        if times[0] < times[1]:
            self.spans.append(Span(device.name, resource, what, request.number, *times))
