"""Assembly: collects contributions until the inputs of a task can be formed.

Place, add, decode: each is coefficient x region, accumulated. No sockets and no clock, so the
same code runs in executors, in the gateway, in verification and in tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.coding import decode, decoder
from edgesplit.dataflow.table import Flow, Group, Task

Array = NDArray[Any]

_PLACED = np.empty(0)


class Outcome(Enum):
    """What became of an offered contribution."""

    ACCEPTED = "accepted"
    FORMED = "formed"
    LATE = "late"
    FOREIGN = "foreign"


class Recipe:
    """How the inputs of a task are formed, worked out once for all its assemblies.

    Args:
        task: The task to feed.
        flows: The table's flows by id; those of the task's inputs are looked up.
    """

    def __init__(self, task: Task, flows: Mapping[int, Flow]) -> None:
        self.inputs = [(need.name, need.region.shape, np.dtype(need.dtype)) for need in task.inputs]
        self.groups = [
            _Form(need.name, group, flows) for need in task.inputs for group in need.groups
        ]
        self.waiting: dict[int, list[int]] = {}
        """The numbers of the groups that each flow is for."""
        for number, form in enumerate(self.groups):
            for flow in form.places:
                self.waiting.setdefault(flow, []).append(number)


class Assembly:
    """The inputs of one task, for one attempt of one request, as they arrive.

    First arrival wins. Data rows are copied where they belong; other rows are kept until their
    group has formed, so the caller must not change an array that it has offered.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._feeds = {name: np.zeros(shape, dtype) for name, shape, dtype in recipe.inputs}
        self._rows: dict[int, _Rows] = {}
        self._formed: set[int] = set()
        self._seen: set[int] = set()
        self._upstream = self._decoded = 0

    @property
    def formed(self) -> bool:
        """Whether every input can be fed."""
        return len(self._formed) == len(self._recipe.groups)

    @property
    def recovered(self) -> int:
        """Groups that had to be decoded, here and on the longest way here."""
        return self._upstream + self._decoded

    def offer(self, flow: int, data: Array, recovered: int = 0) -> Outcome:
        """Take a contribution.

        Args:
            flow: Its id in the task table.
            data: The array, of the flow's shape and dtype.
            recovered: Groups decoded upstream of it.
        """
        waiting = self._recipe.waiting.get(flow)
        if waiting is None:
            return Outcome.FOREIGN
        useful = [number for number in waiting if number not in self._formed]
        if flow in self._seen or not useful:
            return Outcome.LATE
        self._seen.add(flow)
        self._upstream = max(self._upstream, recovered)
        self._formed.update(number for number in useful if self._take(number, flow, data))
        return Outcome.FORMED if self.formed else Outcome.ACCEPTED

    def feeds(self) -> dict[str, Array]:
        """Return the task's inputs by name; complete once formed."""
        return self._feeds

    def _take(self, number: int, flow: int, data: Array) -> bool:
        """Give a group what is for it; tell whether that formed it."""
        form = self._recipe.groups[number]
        if form.exact:
            form.put(0, data, self._feeds[form.name])
            return True
        if number not in self._rows:
            self._rows[number] = _Rows(form, self._feeds[form.name])
        rows = self._rows[number]
        rows.take(flow, data)
        self._decoded += rows.decoded
        return rows.formed


class _Form:
    """What is the same of a group for every request: where its flows belong, and its data."""

    def __init__(self, name: str, group: Group, flows: Mapping[int, Flow]) -> None:
        self.name = name
        self.group = group
        self.places = {flow: row for row, terms in enumerate(group.rows) for flow in terms}
        self.exact = len(self.places) == 1
        shapes = (flows[terms[0]].region.shape for terms in group.rows)
        self.longest = tuple(map(max, *shapes)) if len(group.rows) > 1 else next(shapes)
        self._blocks = [(block.target.slices, block.source.slices) for block in group.blocks]

    def put(self, row: int, data: Array, into: Array) -> None:
        """Place a data row where it belongs."""
        target, source = self._blocks[row]
        into[target] = data[source]


class _Rows:
    """The rows of one group as they complete, until any k of them form the data."""

    def __init__(self, form: _Form, target: Array) -> None:
        self._form = form
        self._target = target
        self._terms: dict[int, Array] = {}
        self._rows: dict[int, Array] = {}
        self.decoded = False
        self.formed = False

    def take(self, flow: int, data: Array) -> None:
        row = self._form.places[flow]
        terms = self._form.group.rows[row]
        if len(terms) > 1:
            self._terms[flow] = data
            if any(term not in self._terms for term in terms):
                return
            # Index order, whatever the order of arrival: sums of floats must not depend on it.
            data = reduce(np.add, [self._terms.pop(term) for term in terms])
        self._complete(row, data)

    def _complete(self, row: int, data: Array) -> None:
        group = self._form.group
        if row < group.k:
            self._form.put(row, data, self._target)
        # Without parity nobody decodes: only the row's number is of use once it is placed.
        self._rows[row] = data if group.parity else _PLACED
        if len(self._rows) >= group.k:
            self._finish()

    def _finish(self) -> None:
        group = self._form.group
        if any(row not in self._rows for row in range(group.k)):
            plan = decoder(group.parity, group.k, frozenset(self._rows))
            if plan is None:
                return
            self.decoded = True
            for row, data in decode(plan, self._rows, self._form.longest).items():
                self._form.put(row, data, self._target)
        self.formed = True
        self._rows.clear()
