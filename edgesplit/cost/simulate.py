"""The simulator: one request through a task table, on given costs and links, without loss.

A task starts when its inputs have formed and its device is free, the longest formed first. A
message costs its price at both ends, leaves when the sender's link is free, and has arrived when
its last byte is through the receiver's link. Of a coded group the first k rows are enough.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from edgesplit.dataflow.table import Flow, Group, Task, TaskTable
from edgesplit.spec.cluster import Link


@dataclass(frozen=True, slots=True)
class Costs:
    """What things cost: `tasks` in seconds by task id, `messages` seconds an end by device.

    `links` and `messages` hold the gateway too, under its device name.
    """

    tasks: Mapping[int, float]
    messages: Mapping[str, float]
    links: Mapping[str, Link]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request costs a device, in seconds: its compute, message ends, and link."""

    compute: float = 0.0
    messages: float = 0.0
    sending: float = 0.0
    receiving: float = 0.0

    @property
    def busiest(self) -> float:
        """Seconds of the resource that limits how many requests a second can pass."""
        return max(self.compute, self.messages, self.sending, self.receiving)


@dataclass(frozen=True, slots=True)
class Run:
    """A simulated request: `latency` in seconds, `throughput` in requests a second."""

    latency: float
    throughput: float
    usage: Mapping[str, Usage]


def simulate(table: TaskTable, costs: Costs) -> Run:
    """Run one request through the table.

    Raises:
        ValueError: The answer never forms: the table is no complete dataflow.
    """
    usage = usages(table, costs)
    limit = max((use.busiest for use in usage.values()), default=0.0)
    return Run(_Request(table, costs).run(), 1 / limit if limit else float("inf"), usage)


def usages(table: TaskTable, costs: Costs) -> dict[str, Usage]:
    """Return what one request costs each device, the gateway included."""
    compute: defaultdict[str, float] = defaultdict(float)
    for task in table.tasks:
        compute[task.device] += costs.tasks.get(task.id, 0.0)
    sent: defaultdict[str, list[Flow]] = defaultdict(list)
    received: defaultdict[str, list[Flow]] = defaultdict(list)
    for flow, sender, receiver in _messages(table):
        sent[sender].append(flow)
        received[receiver].append(flow)
    return {
        name: Usage(
            compute=compute[name],
            messages=costs.messages[name] * (len(sent[name]) + len(received[name])),
            sending=sum(flow.nbytes for flow in sent[name]) / costs.links[name].bandwidth,
            receiving=sum(flow.nbytes for flow in received[name]) / costs.links[name].bandwidth,
        )
        for name in compute
    }


def _messages(table: TaskTable) -> list[tuple[Flow, str, str]]:
    return [
        (flow, sender, receiver)
        for flow in table.flows
        for sender in flow.senders
        for receiver in flow.receivers
        if sender != receiver
    ]


@dataclass
class _Device:
    """Until when each resource of a device is taken, and the tasks that wait for it."""

    compute: float = 0.0
    messages: float = 0.0
    sending: float = 0.0
    receiving: float = 0.0
    waiting: list[tuple[float, int]] = field(default_factory=list)


class _Request:
    """One request under way: events in order of time, ties in order of their making."""

    def __init__(self, table: TaskTable, costs: Costs) -> None:
        self._table = table
        self._costs = costs
        self._devices: defaultdict[str, _Device] = defaultdict(_Device)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._made = 0
        self._arrived: set[tuple[str, int]] = set()
        self._unformed = {
            device: list(table.tasks_of(device))
            for device in dict.fromkeys(task.device for task in table.tasks)
        }

    def run(self) -> float:
        """Return the time at which the answer has formed."""
        for device in self._unformed:
            self._form(device, 0.0)
        now = 0.0
        while self._events:
            now, _, happen = heapq.heappop(self._events)
            if self._table.sink not in self._unformed[self._table.sink.device]:
                return now
            happen(now)
        raise ValueError("the answer never forms: a needed contribution has no sender")

    def _at(self, time: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time, self._made, happen))
        self._made += 1

    def _form(self, device: str, now: float) -> None:
        """Queue the tasks of a device whose inputs are complete, and start one if it is free."""
        formed = [task for task in self._unformed[device] if self._complete(task)]
        for task in formed:
            self._unformed[device].remove(task)
            heapq.heappush(self._devices[device].waiting, (now, task.id))
        if formed:
            self._at(now, partial(self._start, device))

    def _complete(self, task: Task) -> bool:
        return all(
            self._enough(task.device, group) for need in task.inputs for group in need.groups
        )

    def _enough(self, device: str, group: Group) -> bool:
        rows = (all((device, term) in self._arrived for term in row) for row in group.rows)
        return sum(rows) >= group.k

    def _start(self, device: str, now: float) -> None:
        state = self._devices[device]
        if not state.waiting or state.compute > now:
            return
        _, task = heapq.heappop(state.waiting)
        state.compute = now + self._costs.tasks.get(task, 0.0)
        self._at(state.compute, partial(self._end, self._table.tasks[task]))

    def _end(self, task: Task, now: float) -> None:
        for output in task.outputs:
            flow = self._table.flows[output.flow]
            for receiver in flow.receivers:
                self._send(flow, task.device, receiver, now)
        self._start(task.device, now)

    def _send(self, flow: Flow, sender: str, receiver: str, now: float) -> None:
        if sender == receiver:
            self._deliver(flow, receiver, now)
            return
        state = self._devices[sender]
        state.messages = max(now, state.messages) + self._costs.messages[sender]
        self._at(state.messages, partial(self._transmit, flow, sender, receiver))

    def _transmit(self, flow: Flow, sender: str, receiver: str, now: float) -> None:
        state, link = self._devices[sender], self._costs.links[sender]
        start = max(now, state.sending)
        state.sending = start + flow.nbytes / link.bandwidth
        first = start + link.latency + self._costs.links[receiver].latency
        self._at(first, partial(self._receive, flow, sender, receiver))

    def _receive(self, flow: Flow, sender: str, receiver: str, now: float) -> None:
        links = self._costs.links
        state, bandwidth = self._devices[receiver], links[receiver].bandwidth
        # The receiver's link is taken for the message's own bytes only, so that several slow
        # senders fill it together; the last byte can't come before the slower end has passed it.
        state.receiving = max(now, state.receiving) + flow.nbytes / bandwidth
        last = max(state.receiving, now + flow.nbytes / links[sender].bandwidth)
        self._at(last, partial(self._price, flow, receiver))

    def _price(self, flow: Flow, receiver: str, now: float) -> None:
        state = self._devices[receiver]
        state.messages = max(now, state.messages) + self._costs.messages[receiver]
        self._at(state.messages, partial(self._deliver, flow, receiver))

    def _deliver(self, flow: Flow, receiver: str, now: float) -> None:
        if (receiver, flow.id) not in self._arrived:
            self._arrived.add((receiver, flow.id))
            self._form(receiver, now)
