"""The open requests of one gateway: who is owed what, until when. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.assembly import Assembly, Outcome, Recipe
from edgesplit.dataflow.rotation import Rotation
from edgesplit.dataflow.table import Port, TaskTable
from edgesplit.dataflow.wire import Drop, Header
from edgesplit.errors import InputMismatch

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Passage:
    """How a request went through the cluster; with the traces, where its time went.

    `attempt` is the one that was answered, from 0, `last_flow` the contribution that completed
    the answer. `recovered` counts the groups that were decoded on the longest way to it.
    `latency` is seconds from admission, `head` the seconds of it that the gateway's own shard
    took. `earlier` counts the attempts in an epoch that ended meanwhile. `admitted` is when it
    was admitted, in seconds of the gateway's own clock. `variant` is the way through the model that
    the answer came.
    """

    request: int
    attempt: int
    last_flow: int
    recovered: int
    latency: float
    head: float
    earlier: int = 0
    admitted: float = 0.0
    variant: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The outputs of one request, by name, and how it went through the cluster."""

    outputs: Arrays
    passage: Passage

    @property
    def output(self) -> Array:
        """The answer of a model with a single output; ValueError where there are several."""
        (array,) = self.outputs.values()
        return array

    @property
    def recovered(self) -> int:
        """Groups that had to be decoded on the longest way to the answer."""
        return self.passage.recovered

    @property
    def attempts(self) -> int:
        """Tries that it took."""
        return self.passage.earlier + self.passage.attempt + 1

    @property
    def latency(self) -> float:
        """Seconds from admission to the answer."""
        return self.passage.latency


@dataclass(slots=True)
class OpenRequest:
    """A request that is owed an answer; `admitted` and `deadline` are the gateway's own clock.

    `variant` is that of its attempt, `tried` those of all its attempts.
    """

    number: int
    feeds: Arrays
    admitted: float
    deadline: float
    assembly: Assembly
    variant: int = 0
    tried: frozenset[int] = frozenset()
    attempt: int = 0
    last_flow: int = -1


@dataclass(frozen=True, slots=True)
class Due:
    """What a moment asks for: requests to try again, and requests that are lost."""

    again: tuple[OpenRequest, ...]
    lost: tuple[OpenRequest, ...]


class Requests:
    """The requests that one gateway has open, oldest first.

    Each attempt takes a variant of the table. `able` are those that can answer, as far as is known;
    where it is empty, all are as good.

    Args:
        table: The dataflow; its sinks are what an answer assembles.
        attempts: Tries before the deadline; each gets an equal share of the time.
        first: The number of the first request.
    """

    def __init__(self, table: TaskTable, attempts: int, first: int = 0) -> None:
        self._sinks = [Recipe(sink, dict(enumerate(table.flows))) for sink in table.sinks]
        self._rotation = Rotation(table.variants)
        self._attempts = attempts
        self._open: dict[int, OpenRequest] = {}
        self._next = first
        self._reach = table.reach

    def __len__(self) -> int:
        return len(self._open)

    @property
    def lowest(self) -> int:
        """The lowest open request, or the next one where none is open."""
        return next(iter(self._open), self._next)

    @property
    def room(self) -> bool:
        """Whether devices would take the next request: it is near enough to the lowest."""
        return self._next < self.lowest + self._reach

    def admit(
        self, feeds: Arrays, now: float, deadline: float, able: Collection[int] = ()
    ) -> OpenRequest:
        """Open a request that must be answered by `deadline`, on the clock of `now`."""
        variant = self._rotation.deal(able)
        assembly = self._assembly(variant)
        tried = frozenset({variant})
        request = OpenRequest(self._next, feeds, now, deadline, assembly, variant, tried)
        self._open[request.number] = request
        self._next += 1
        return request

    def offer(self, header: Header, data: Array) -> OpenRequest | Drop | None:
        """Take a contribution to an answer: the request once formed, or why it was dropped."""
        request = self._open.get(header.request)
        if request is None:
            return Drop.CLOSED
        if header.attempt != request.attempt:
            return Drop.LATE
        outcome = request.assembly.offer(header.flow, data, header.recovered)
        if outcome is Outcome.FORMED:
            request.last_flow = header.flow
            return request
        return {Outcome.LATE: Drop.LATE, Outcome.FOREIGN: Drop.FLOW}.get(outcome)

    def close(self, request: OpenRequest) -> None:
        """Owe it nothing more; what still arrives for it is dropped."""
        if self._open.pop(request.number, None) is not None:
            self._rotation.take(request.variant)

    def drain(self) -> tuple[OpenRequest, ...]:
        """Close all requests and return them."""
        requests = tuple(self._open.values())
        for request in requests:
            self.close(request)
        return requests

    def due(self, now: float, able: Collection[int] = ()) -> Due:
        """Close what is past its deadline; begin a new attempt where one has had its time.

        What is in a variant that can't answer goes to one that can, whatever attempts are left.
        """
        lost = tuple(r for r in self._open.values() if now >= r.deadline)
        for request in lost:
            self.close(request)
        again = tuple(r for r in self._open.values() if now >= self._patience(r))
        for request in again:
            self._retry(request, now, able)
        stranded = tuple(r for r in self._open.values() if able and r.variant not in able)
        return Due((*again, *self._anew(stranded, able)), lost)

    def renew(self, able: Collection[int] = ()) -> tuple[OpenRequest, ...]:
        """Begin a new attempt of all that have one left, and return them."""
        left = (r for r in self._open.values() if r.attempt + 1 < self._attempts)
        return self._anew(tuple(left), able)

    def _anew(
        self, requests: tuple[OpenRequest, ...], able: Collection[int]
    ) -> tuple[OpenRequest, ...]:
        for request in requests:
            self._begin(request, request.attempt + 1, able)
        return requests

    def next_due(self) -> float | None:
        """Return when `due` has work next; None where nothing is open."""
        return min((min(self._patience(r), r.deadline) for r in self._open.values()), default=None)

    def _patience(self, request: OpenRequest) -> float:
        """When the current attempt has had its time; the last one has until the deadline."""
        if request.attempt + 1 >= self._attempts:
            return request.deadline
        share = (request.attempt + 1) / self._attempts
        return request.admitted + (request.deadline - request.admitted) * share

    def _retry(self, request: OpenRequest, now: float, able: Collection[int]) -> None:
        while now >= self._patience(request) and request.attempt + 1 < self._attempts:
            request.attempt += 1
        self._begin(request, request.attempt, able)

    def _begin(self, request: OpenRequest, attempt: int, able: Collection[int]) -> None:
        """Start an attempt from nothing, elsewhere if it can be: attempts never mix."""
        self._rotation.take(request.variant)
        request.attempt = attempt
        request.variant = self._rotation.deal(able, left=request.variant)
        request.tried |= {request.variant}
        request.assembly = self._assembly(request.variant)

    def _assembly(self, variant: int) -> Assembly:
        return Assembly(self._sinks[variant])


def check_inputs(ports: tuple[Port, ...], given: object) -> dict[str, Array]:
    """Return the model's inputs by name, as contiguous copies.

    Args:
        ports: What the model takes.
        given: A mapping of name to array, or the array alone where the model has one input.

    Raises:
        InputMismatch: A name, shape or dtype differs from what the model takes.
    """
    if not isinstance(given, Mapping):
        if len(ports) != 1:
            names = ", ".join(port.name for port in ports)
            raise InputMismatch(
                f"one array was given, but the model has {len(ports)} inputs",
                remedy=f"pass a mapping with the names {names}",
            )
        given = {ports[0].name: given}
    _check_names({port.name for port in ports}, set(given))
    return {port.name: _checked(port, given[port.name]) for port in ports}


def _check_names(wanted: set[str], given: set[str]) -> None:
    if wanted == given:
        return
    odd = ", ".join(sorted(map(str, given - wanted))) or "nothing else"
    missing = ", ".join(sorted(wanted - given)) or "none"
    raise InputMismatch(
        f"the inputs have wrong names: {odd} given, {missing} missing",
        remedy=f"the model takes {', '.join(sorted(wanted))}",
    )


def _checked(port: Port, given: object) -> Array:
    array = np.asarray(given)
    if array.dtype != np.dtype(port.dtype):
        raise InputMismatch(
            f"input {port.name!r} is {array.dtype}, the model takes {port.dtype}",
            remedy=f"convert it with .astype({port.dtype!r})",
        )
    if array.shape != port.shape:
        raise InputMismatch(
            f"input {port.name!r} has shape {array.shape}, the model takes {port.shape}",
            remedy="one request is one input; send a batch as several requests",
        )
    # A copy: the caller may reuse its array while a later attempt still needs the values.
    return np.array(array, order="C", copy=True)
