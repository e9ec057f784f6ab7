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


class Assembly:
    """The inputs of one task, for one attempt of one request, as they arrive.

    First arrival wins. Data rows are copied where they belong; other rows are kept until their
    group has formed, so the caller must not change an array that it has offered.

    Args:
        task: The task to feed.
        flows: The table's flows by id; those of the task's inputs are looked up.
    """

    def __init__(self, task: Task, flows: Mapping[int, Flow]) -> None:
        self._feeds = {
            need.name: np.zeros(need.region.shape, dtype=need.dtype) for need in task.inputs
        }
        self._groups = [
            _Rows(group, self._feeds[need.name], flows)
            for need in task.inputs
            for group in need.groups
        ]
        self._waiting: dict[int, list[_Rows]] = {}
        for rows in self._groups:
            for flow in rows.flows:
                self._waiting.setdefault(flow, []).append(rows)
        self._seen: set[int] = set()
        self._upstream = 0

    @property
    def formed(self) -> bool:
        """Whether every input can be fed."""
        return all(rows.formed for rows in self._groups)

    @property
    def recovered(self) -> int:
        """Groups that had to be decoded, here and on the longest way here."""
        return self._upstream + sum(rows.decoded for rows in self._groups)

    def offer(self, flow: int, data: Array, recovered: int = 0) -> Outcome:
        """Take a contribution.

        Args:
            flow: Its id in the task table.
            data: The array, of the flow's shape and dtype.
            recovered: Groups decoded upstream of it.
        """
        if flow not in self._waiting:
            return Outcome.FOREIGN
        useful = [rows for rows in self._waiting[flow] if not rows.formed]
        if flow in self._seen or not useful:
            return Outcome.LATE
        self._seen.add(flow)
        self._upstream = max(self._upstream, recovered)
        for rows in useful:
            rows.take(flow, data)
        return Outcome.FORMED if self.formed else Outcome.ACCEPTED

    def feeds(self) -> dict[str, Array]:
        """Return the task's inputs by name; complete once formed."""
        return self._feeds


class _Rows:
    """One group: rows as they complete, until any k of them form the data."""

    def __init__(self, group: Group, target: Array, flows: Mapping[int, Flow]) -> None:
        self._group = group
        self._target = target
        self._place = {flow: row for row, terms in enumerate(group.rows) for flow in terms}
        self._terms: dict[int, Array] = {}
        self._rows: dict[int, Array] = {}
        shapes = (flows[terms[0]].region.shape for terms in group.rows)
        self._longest = tuple(map(max, *shapes)) if len(group.rows) > 1 else next(shapes)
        self.decoded = False
        self.formed = False

    @property
    def flows(self) -> tuple[int, ...]:
        return tuple(self._place)

    def take(self, flow: int, data: Array) -> None:
        row = self._place[flow]
        terms = self._group.rows[row]
        if len(terms) > 1:
            self._terms[flow] = data
            if any(term not in self._terms for term in terms):
                return
            # Index order, whatever the order of arrival: sums of floats must not depend on it.
            data = reduce(np.add, [self._terms.pop(term) for term in terms])
        self._complete(row, data)

    def _complete(self, row: int, data: Array) -> None:
        if row < self._group.k:
            self._put(row, data)
        # Without parity nobody decodes: only the row's number is of use once it is placed.
        self._rows[row] = data if self._group.parity else _PLACED
        if len(self._rows) >= self._group.k:
            self._finish()

    def _finish(self) -> None:
        if any(row not in self._rows for row in range(self._group.k)):
            plan = decoder(self._group.parity, self._group.k, frozenset(self._rows))
            if plan is None:
                return
            self.decoded = True
            for row, data in decode(plan, self._rows, self._longest).items():
                self._put(row, data)
        self.formed = True
        self._rows.clear()

    def _put(self, row: int, data: Array) -> None:
        block = self._group.blocks[row]
        self._target[block.target.slices] = data[block.source.slices]
