"""Forming: which tasks a contribution completes, counted and never searched for."""

from __future__ import annotations

from collections import defaultdict

from edgesplit.dataflow.table import Group, Task, TaskTable

_Place = tuple[str, int]
"""A device, and a flow that it receives."""


class Reads:
    """What every arrival counts towards.

    `missing` is what each task waits for: every term of its exact groups, and every coded group
    as one. `tasks` lists the tasks that an arrival is an exact term of, `rows` the coded rows.
    `terms` counts the terms of each coded row, `group` names its group; `enough` is the number of
    rows that a coded group needs, `task` whom it is for. `ready` are the tasks that need nothing.
    """

    def __init__(self, table: TaskTable) -> None:
        self.missing = [0] * len(table.tasks)
        self.tasks: defaultdict[_Place, list[int]] = defaultdict(list)
        self.rows: defaultdict[_Place, list[int]] = defaultdict(list)
        self.terms: list[int] = []
        self.group: list[int] = []
        self.enough: list[int] = []
        self.task: list[int] = []
        for task in table.tasks:
            for need in task.inputs:
                for group in need.groups:
                    (self._exact if group.k == len(group.rows) else self._coded)(task, group)
        self.ready = tuple(task for task in table.tasks if not self.missing[task.id])

    def _exact(self, task: Task, group: Group) -> None:
        for row in group.rows:
            for flow in row:
                self.tasks[task.device, flow].append(task.id)
            self.missing[task.id] += len(row)

    def _coded(self, task: Task, group: Group) -> None:
        self.missing[task.id] += 1
        for row in group.rows:
            for flow in row:
                self.rows[task.device, flow].append(len(self.terms))
            self.terms.append(len(row))
            self.group.append(len(self.enough))
        self.enough.append(group.k)
        self.task.append(task.id)


class Forming:
    """What one request still waits for."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._missing = reads.missing.copy()
        self._terms = reads.terms.copy()
        self._rows = reads.enough.copy()
        self._arrived: set[_Place] = set()

    def arrive(self, device: str, flow: int) -> list[int]:
        """Count a contribution, the first time that it arrives; return the tasks that it formed."""
        place = (device, flow)
        if place in self._arrived:
            return []
        self._arrived.add(place)
        reads = self._reads
        formed = [task for task in reads.tasks.get(place, ()) if self._one_less(task)]
        for row in reads.rows.get(place, ()):
            group = reads.group[row]
            if self._enough(row, group) and self._one_less(reads.task[group]):
                formed.append(reads.task[group])
        return formed

    def _one_less(self, task: int) -> bool:
        """Count down what a task waits for; tell whether that was the last of it."""
        self._missing[task] -= 1
        return not self._missing[task]

    def _enough(self, row: int, group: int) -> bool:
        """Count down a coded row; tell whether with it the group has the rows that it needs."""
        self._terms[row] -= 1
        if self._terms[row]:
            return False
        self._rows[group] -= 1
        return not self._rows[group]
