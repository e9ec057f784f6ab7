"""Forming: which tasks a contribution completes, counted and never searched for."""

from __future__ import annotations

from collections import defaultdict

from edgesplit.dataflow.table import Group, Task, TaskTable


class Reads:
    """What every arrival counts towards: terms of rows, rows of groups, groups of tasks.

    `rows` lists the rows that a flow is a term of, by the device that reads it; `terms` the terms
    of each row, `group` its group; `enough` the rows that each group needs, `task` its task;
    `groups` the groups of each task. `ready` are the tasks that need nothing.
    """

    def __init__(self, table: TaskTable) -> None:
        self.rows: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        self.terms: list[int] = []
        self.group: list[int] = []
        self.enough: list[int] = []
        self.task: list[int] = []
        self.groups = [0] * len(table.tasks)
        for task in table.tasks:
            for need in task.inputs:
                for group in need.groups:
                    self._add(task, group)
        self.ready = tuple(task for task in table.tasks if not self.groups[task.id])

    def _add(self, task: Task, group: Group) -> None:
        number = len(self.enough)
        self.enough.append(group.k)
        self.task.append(task.id)
        self.groups[task.id] += 1
        for row in group.rows:
            flows = set(row)
            for flow in flows:
                self.rows[task.device, flow].append(len(self.terms))
            self.terms.append(len(flows))
            self.group.append(number)


class Forming:
    """What one request still waits for."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._terms = reads.terms.copy()
        self._rows = reads.enough.copy()
        self._groups = reads.groups.copy()
        self._arrived: set[tuple[str, int]] = set()

    def arrive(self, device: str, flow: int) -> list[int]:
        """Count a contribution, the first time that it arrives; return the tasks that it formed."""
        key = (device, flow)
        if key in self._arrived:
            return []
        self._arrived.add(key)
        reads, formed = self._reads, []
        for row in reads.rows.get(key, ()):
            self._terms[row] -= 1
            if self._terms[row] == 0 and self._row(reads.group[row]):
                formed.append(reads.task[reads.group[row]])
        return formed

    def _row(self, group: int) -> bool:
        """Count a complete row, the k-th of a group at most; tell whether it completed a task."""
        self._rows[group] -= 1
        if self._rows[group]:
            return False
        task = self._reads.task[group]
        self._groups[task] -= 1
        return not self._groups[task]
