"""The open requests of every gateway, as one device sees them: pure state, time passed in.

`lowest` advances, attempts are replaced and deadlines are set by a gateway's own frames only.
What another device says of a request counts until the gateway has spoken, and never opens more
than the admission window allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgesplit.dataflow.assembly import Assembly, Outcome, Recipe
from edgesplit.dataflow.table import GATEWAY, Task, TaskTable
from edgesplit.dataflow.wire import Drop, Header, screen
from edgesplit.runtime.attempt import Attempt, Contribution, Gateway, Work

# Registered gateways beyond those that memory is reserved for: dead ones, not yet noticed.
_SPARE_GATEWAYS = 4
# Attempts kept of one request: the gateway's, and the next, whose data may outrun its OPEN.
_ATTEMPTS = 2


class Requests:
    """What is registered, open and half-formed on one device.

    Senders are authenticated names; `gateway:...` is a gateway. Times are seconds of the local
    clock. What a frame opens, completes or ends follows from calling the method of its kind; a
    `Drop` says why it had no effect.

    Args:
        table: The task table of the epoch.
        device: This device's name.
    """

    def __init__(self, table: TaskTable, device: str) -> None:
        self.gateways: dict[int, Gateway] = {}
        self._device = device
        self._flows = {flow.id: flow for flow in table.flows}
        self._consumers = _consumers(table.tasks_of(device))
        self._recipes = {task.id: Recipe(task, self._flows) for task in table.tasks_of(device)}
        self._capacity = table.gateways + _SPARE_GATEWAYS
        self._reach = table.reach
        self._variants = table.variants

    @property
    def open(self) -> int:
        """Number of open requests."""
        return sum(len(gateway.requests) for gateway in self.gateways.values())

    def hello(self, sender: str, header: Header, now: float) -> Drop | list[int]:
        """Register a gateway process; return the nonces that had to make room for it."""
        gateway = self.gateways.get(header.nonce)
        if gateway is not None:
            return Drop.NONCE if self._own(sender, header, now) is None else []
        evicted = [self._victim()] if len(self.gateways) >= self._capacity else []
        for nonce in evicted:
            self.forget(nonce)
        self.gateways[header.nonce] = Gateway(sender, header.lowest, now)
        return evicted

    def forget(self, nonce: int) -> None:
        """Drop a gateway and all that it has open."""
        gateway = self.gateways.pop(nonce)
        for request in list(gateway.requests):
            gateway.drop(request)

    def announce(self, sender: str, header: Header, now: float) -> Drop | None:
        """Open an attempt of a request; older attempts of it end."""
        gateway = self._own(sender, header, now)
        if gateway is None:
            return Drop.NONCE
        if drop := self._barred(gateway, header):
            return drop
        if header.variant >= self._variants:
            return Drop.VARIANT
        known = gateway.requests.get(header.request, {}).get(header.attempt)
        if known is not None and known.variant != header.variant:
            # A device was wrong about it.
            gateway.requests[header.request].pop(header.attempt).end()
        attempt = _begin(gateway, header, now)
        attempts = gateway.requests[header.request]
        newer = sorted(number for number in attempts if number > header.attempt)
        older = [number for number in attempts if number < header.attempt]
        for number in older + newer[_ATTEMPTS - 1 :]:
            attempts.pop(number).end()
        attempt.announced = True
        attempt.deadline = now + header.remaining / 1e6
        return None

    def close(self, sender: str, header: Header, now: float) -> Drop | None:
        """Close a request, and everything below the gateway's lowest."""
        gateway = self._own(sender, header, now)
        if gateway is None:
            return Drop.NONCE
        gateway.drop(header.request)
        if gateway.lowest <= header.request < gateway.lowest + self._reach:
            gateway.closed.add(header.request)
        return None

    def data(
        self, sender: str, header: Header, body: memoryview, now: float
    ) -> Drop | Sequence[Work]:
        """Take a contribution; return the work that it completed."""
        ours = is_gateway(sender)
        name = GATEWAY if ours else sender
        if drop := screen(header, body.nbytes, name, self._device, self._flows):
            return drop
        gateway = self._own(sender, header, now) if ours else self.gateways.get(header.nonce)
        if gateway is None:
            return Drop.NONCE
        attempt = self._attempt(gateway, header, now)
        if isinstance(attempt, Drop):
            return attempt
        flow = self._flows[header.flow]
        array = np.frombuffer(body, dtype=flow.dtype).reshape(flow.shape)
        return self.offer(attempt, Contribution(header.flow, array, header.recovered), now)

    def offer(
        self, attempt: Attempt, contribution: Contribution, now: float
    ) -> Drop | Sequence[Work]:
        """Take a contribution that needs no check: this device's own, or one that passed."""
        outcomes = [
            self._feed(attempt, task, contribution, now)
            for task in self._consumers.get(contribution.flow, ())
        ]
        if not any(outcomes):
            return Drop.LATE
        return [outcome for outcome in outcomes if isinstance(outcome, Work)]

    def expire(self, now: float) -> list[tuple[int, int]]:
        """End what is past its deadline; return the (nonce, request) pairs that have none left."""
        gone = []
        for nonce, gateway in self.gateways.items():
            for request, attempts in list(gateway.requests.items()):
                for number in [n for n, a in attempts.items() if a.deadline <= now]:
                    attempts.pop(number).end()
                if not attempts:
                    del gateway.requests[request]
                    gone.append((nonce, request))
        return gone

    def _own(self, sender: str, header: Header, now: float) -> Gateway | None:
        """Return the gateway that this frame of a gateway belongs to, if it is the same one."""
        gateway = self.gateways.get(header.nonce)
        if gateway is None or gateway.user != sender:
            return None
        gateway.seen = now
        gateway.advance(header.lowest)
        return gateway

    def _victim(self) -> int:
        """The nonce to evict: of the user who has most, the idle one heard of longest ago."""
        crowd = Counter(gateway.user for gateway in self.gateways.values())
        user, _ = crowd.most_common(1)[0]
        own = {nonce: g for nonce, g in self.gateways.items() if g.user == user}
        return min(own, key=lambda nonce: (bool(own[nonce].requests), own[nonce].seen))

    def _barred(self, gateway: Gateway, header: Header) -> Drop | None:
        """Tell why a request can't be opened or added to now."""
        if header.request >= gateway.lowest + self._reach:
            return Drop.WINDOW
        if header.request < gateway.lowest or header.request in gateway.closed:
            return Drop.CLOSED
        attempts = gateway.requests.get(header.request, {}).values()
        if any(a.announced and a.number > header.attempt for a in attempts):
            return Drop.CLOSED
        return None

    def _attempt(self, gateway: Gateway, header: Header, now: float) -> Attempt | Drop:
        """Return the attempt that data belongs to, opened where the OPEN is still on its way."""
        if drop := self._barred(gateway, header):
            return drop
        attempts = gateway.requests.get(header.request, {})
        known = attempts.get(header.attempt)
        if known is not None:
            if known.variant != header.variant:
                return Drop.VARIANT
            return known if known.deadline > now else Drop.CLOSED
        if len(attempts) >= _ATTEMPTS or not header.remaining:
            return Drop.CLOSED
        return _begin(gateway, header, now)

    def _feed(
        self, attempt: Attempt, task: Task, contribution: Contribution, now: float
    ) -> Work | bool:
        """Offer an array to one task: the work it completed, or whether it was of use."""
        if task.id in attempt.works:
            return False
        assembly = attempt.assemblies.get(task.id)
        if assembly is None:
            assembly = attempt.assemblies[task.id] = Assembly(self._recipes[task.id])
        flow = contribution.flow
        outcome = assembly.offer(flow, contribution.array, contribution.recovered)
        if outcome is not Outcome.FORMED:
            return outcome is Outcome.ACCEPTED
        del attempt.assemblies[task.id]
        work = Work(task, attempt, assembly.feeds(), assembly.recovered, flow, now)
        attempt.works[task.id] = work
        return work


def is_gateway(sender: str) -> bool:
    """Tell whether an authenticated name is a gateway's."""
    return sender.startswith(f"{GATEWAY}:")


def _begin(gateway: Gateway, header: Header, now: float) -> Attempt:
    """Return the attempt that this header speaks of, opened if need be."""
    attempts = gateway.requests.setdefault(header.request, {})
    if header.attempt in attempts:
        return attempts[header.attempt]
    opened = min((attempt.opened for attempt in attempts.values()), default=now)
    attempt = Attempt(
        nonce=header.nonce,
        request=header.request,
        number=header.attempt,
        variant=header.variant,
        opened=opened,
        deadline=now + header.remaining / 1e6,
    )
    attempts[header.attempt] = attempt
    return attempt


def _consumers(tasks: Sequence[Task]) -> dict[int, list[Task]]:
    """Return the tasks that each flow feeds."""
    consumers: dict[int, list[Task]] = {}
    for task in tasks:
        groups = [group for need in task.inputs for group in need.groups]
        for flow in {flow for group in groups for row in group.rows for flow in row}:
            consumers.setdefault(flow, []).append(task)
    return consumers
