"""Variants: several complete ways through a model in one task table, and each for itself again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgesplit.dataflow.table import Flow, Group, Input, Task, TaskTable


def together(tables: Sequence[TaskTable]) -> TaskTable:
    """Return one table whose variants are these tables of one variant each, in order.

    All must be of one model and window.
    """
    if len(tables) == 1:
        return tables[0]
    flows: list[Flow] = []
    tasks: list[Task] = []
    for variant, table in enumerate(tables):
        moved = _moved(table, len(flows), len(tasks), variant)
        flows += moved.flows
        tasks += moved.tasks
    return replace(tables[0], flows=tuple(flows), tasks=tuple(tasks))


def apart(table: TaskTable) -> tuple[TaskTable, ...]:
    """Return each variant of a table as a table of its own; `together` is the way back."""
    return tuple(_alone(table, variant) for variant in range(table.variants))


def anonymous(table: TaskTable) -> TaskTable:
    """Return a table with its devices numbered: equal for variants that differ in names only."""
    names = {name: str(number) for number, name in enumerate(table.devices)}
    flows = (
        replace(
            flow,
            senders=tuple(names.get(name, name) for name in flow.senders),
            receivers=tuple(names.get(name, name) for name in flow.receivers),
        )
        for flow in table.flows
    )
    tasks = (replace(task, device=names.get(task.device, task.device)) for task in table.tasks)
    return replace(table, flows=tuple(flows), tasks=tuple(tasks))


def _alone(table: TaskTable, variant: int) -> TaskTable:
    flows = tuple(flow for flow in table.flows if flow.variant == variant)
    tasks = tuple(task for task in table.tasks if task.variant == variant)
    first = flows[0].id if flows else 0
    return _moved(replace(table, flows=flows, tasks=tasks), -first, -tasks[0].id, 0)


def _moved(table: TaskTable, flows: int, tasks: int, variant: int) -> TaskTable:
    """Return a table with the numbers of its flows and tasks moved by so many."""
    return replace(
        table,
        flows=tuple(replace(flow, id=flow.id + flows, variant=variant) for flow in table.flows),
        tasks=tuple(_task(task, flows, tasks, variant) for task in table.tasks),
    )


def _task(task: Task, flows: int, tasks: int, variant: int) -> Task:
    return replace(
        task,
        id=task.id + tasks,
        inputs=tuple(_input(need, flows) for need in task.inputs),
        outputs=tuple(replace(output, flow=output.flow + flows) for output in task.outputs),
        variant=variant,
    )


def _input(need: Input, flows: int) -> Input:
    return replace(need, groups=tuple(_group(group, flows) for group in need.groups))


def _group(group: Group, flows: int) -> Group:
    return replace(group, rows=tuple(tuple(flow + flows for flow in row) for row in group.rows))
