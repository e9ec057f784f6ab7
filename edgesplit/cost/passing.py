"""Passing: requests on their way through a task table under a virtual clock, event by event."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgesplit.cost.costs import Costs
from edgesplit.cost.forming import Forming, Reads
from edgesplit.dataflow.rotation import Rotation
from edgesplit.dataflow.table import Flow, Task, TaskTable
from edgesplit.spec.cluster import Link


@dataclass(slots=True, eq=False)
class Request:
    """One request: when it was admitted and answered, in seconds, and what it waits for."""

    number: int
    variant: int
    admitted: float
    forming: Forming
    answered: float | None = None

    @property
    def latency(self) -> float:
        """Seconds from its admission to its answer; ValueError while there is none."""
        if self.answered is None:
            raise ValueError(f"request {self.number} has no answer")
        return self.answered - self.admitted


@dataclass(slots=True, eq=False)
class Device:
    """What a device offers, until when each resource is taken, and the tasks that wait for it.

    `waited` are the seconds that tasks have waited in all, `most` is how many did at once.
    """

    name: str
    price: float
    per_byte: float
    link: Link
    compute: float = 0.0
    messages: float = 0.0
    sending: float = 0.0
    receiving: float = 0.0
    waiting: list[tuple[int, int, float, Request]] = field(default_factory=list)
    waited: float = 0.0
    most: int = 0

    def handle(self, nbytes: int, now: float) -> float:
        """Return when an end of a message is done that begins now at the earliest."""
        self.messages = max(now, self.messages) + self.price + nbytes * self.per_byte
        return self.messages


class Message(NamedTuple):
    """A contribution of a request on its way to one receiver."""

    request: Request
    flow: Flow
    nbytes: int
    sender: Device
    receiver: Device


class Passing:
    """Requests under way: events in order of time, ties in order of their making.

    A task that waits when its request has been answered is dropped, as devices drop it.

    Args:
        table: The dataflow.
        costs: What it costs.
        requests: How many to pass.
        window: How many may be open at once: the next is admitted when one is answered.
    """

    def __init__(self, table: TaskTable, costs: Costs, requests: int = 1, window: int = 1) -> None:
        self._table = table
        self._tasks = costs.tasks
        self._reads = Reads(table)
        self._sinks = frozenset(sink.id for sink in table.sinks)
        self._rotation = Rotation(table.variants)
        self._nbytes = [flow.nbytes for flow in table.flows]
        names = dict.fromkeys(task.device for task in table.tasks)
        self.devices = {
            n: Device(n, costs.messages[n], costs.per_byte.get(n, 0.0), costs.links[n])
            for n in names
        }
        self._events: list[tuple[float, int, Callable[[Any, float], None], object]] = []
        self._made = 0
        self._wanted = requests
        self._window = window
        self._admitted = 0
        self._answers: list[Request] = []

    def answer(self) -> tuple[Request, ...]:
        """Pass the requests and return them in the order of their answers.

        Raises:
            ValueError: An answer never forms: the table is no complete dataflow.
        """
        for _ in range(min(self._wanted, self._window)):
            self._admit(0.0)
        while len(self._answers) < self._wanted:
            if not self._events:
                raise ValueError("the answer never forms: a needed contribution has no sender")
            self._step()
        return tuple(self._answers)

    def finish(self) -> None:
        """Let what is still under way after the last answer come to its end."""
        while self._events:
            self._step()

    def _step(self) -> None:
        now, _, happen, thing = heapq.heappop(self._events)
        happen(thing, now)

    def _at(self, time: float, happen: Callable[[Any, float], None], thing: object) -> None:
        heapq.heappush(self._events, (time, self._made, happen, thing))
        self._made += 1

    def _admit(self, now: float) -> None:
        variant = self._rotation.deal()
        request = Request(self._admitted, variant, now, Forming(self._reads))
        self._admitted += 1
        for task in self._reads.ready:
            if task.variant == variant:
                self._form(request, self.devices[task.device], [task.id], now)

    def _form(self, request: Request, device: Device, tasks: Sequence[int], now: float) -> None:
        """Queue tasks whose inputs are complete; the device starts one if it is free."""
        for task in tasks:
            heapq.heappush(device.waiting, (request.number, task, now, request))
        device.most = max(device.most, len(device.waiting) - (device.compute <= now))
        self._at(now, self._start, device)

    def _start(self, device: Device, now: float) -> None:
        while device.waiting and device.compute <= now:
            _, task, formed, request = heapq.heappop(device.waiting)
            device.waited += now - formed
            if request.answered is None:
                self._run(request, self._table.tasks[task], device, now)
                return

    def _run(self, request: Request, task: Task, device: Device, now: float) -> None:
        device.compute = now + self._tasks.get(task.id, 0.0)
        self._at(device.compute, self._end, (request, task))

    def _end(self, ran: tuple[Request, Task], now: float) -> None:
        request, task = ran
        device = self.devices[task.device]
        for output in task.outputs:
            flow = self._table.flows[output.flow]
            for receiver in flow.receivers:
                self._send(request, flow, device, self.devices[receiver], now)
        if task.id in self._sinks:
            self._answer(request, now)
        self._start(device, now)

    def _answer(self, request: Request, now: float) -> None:
        request.answered = now
        self._rotation.take(request.variant)
        self._answers.append(request)
        if self._admitted < self._wanted:
            self._admit(now)

    def _send(
        self, request: Request, flow: Flow, sender: Device, receiver: Device, now: float
    ) -> None:
        message = Message(request, flow, self._nbytes[flow.id], sender, receiver)
        if sender is receiver:
            self._deliver(message, now)
        else:
            self._dispatch(message, now)

    def _dispatch(self, message: Message, now: float) -> None:
        self._at(message.sender.handle(message.nbytes, now), self._transmit, message)

    def _transmit(self, message: Message, now: float) -> None:
        sender = message.sender
        start = max(now, sender.sending)
        sender.sending = start + message.nbytes / sender.link.bandwidth
        first = start + sender.link.latency + message.receiver.link.latency
        self._at(first, self._receive, message)

    def _receive(self, message: Message, now: float) -> None:
        receiver, nbytes = message.receiver, message.nbytes
        # The receiver's link is taken for the message's own bytes only, so that several slow
        # senders fill it together; the last byte can't come before the slower end has passed it.
        receiver.receiving = max(now, receiver.receiving) + nbytes / receiver.link.bandwidth
        last = max(receiver.receiving, now + nbytes / message.sender.link.bandwidth)
        self._at(last, self._price, message)

    def _price(self, message: Message, now: float) -> None:
        self._at(message.receiver.handle(message.nbytes, now), self._deliver, message)

    def _deliver(self, message: Message, now: float) -> None:
        formed = message.request.forming.arrive(message.receiver.name, message.flow.id)
        if formed:
            self._form(message.request, message.receiver, formed, now)
