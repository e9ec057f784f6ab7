"""Coverage: which losses an allocation survives, computed from its dataflow alone."""

from __future__ import annotations

from collections.abc import Callable

from edgesplit.dataflow.table import Group, Task, TaskTable


def survives(table: TaskTable, lost: frozenset[str]) -> bool:
    """Tell whether every request is still answered while these devices are gone.

    One variant that answers is enough: requests that are under way in another are tried again.
    """
    return bool(answering(table, lost))


def answering(table: TaskTable, lost: frozenset[str]) -> frozenset[int]:
    """Return the variants that answer while these devices are gone.

    A task on a lost device makes nothing. A flow arrives if any of its senders makes it; a row
    forms from all its terms, a group from any k of its rows, a task from all its groups.
    """
    return _answered(table, lambda task: task.device not in lost)


def single_losses(table: TaskTable) -> tuple[str, ...]:
    """Return the devices whose loss alone is survived, in task order."""
    return tuple(name for name in table.devices if survives(table, frozenset({name})))


def why_not(table: TaskTable, device: str) -> str:
    """Return why the loss of a device is not survived; empty where it is."""
    lost = frozenset({device})
    if survives(table, lost):
        return ""
    if table.variants > 1:
        return f"no replica answers without {device}"
    tasks = table.tasks_of(device)
    needed = [task for task in tasks if _needed(table, task)]
    stages = ", ".join(dict.fromkeys(task.stage for task in needed or tasks))
    if needed:
        verb = "run" if ".." in stages or "," in stages else "runs"
        return f"{stages} {verb} only on {device}"
    return f"{device} has more rows of {stages} than parity makes up for"


def _needed(table: TaskTable, task: Task) -> bool:
    """Tell whether the answer forms without this task's flows."""
    return not _answered(table, lambda other: other.id != task.id)


def _answered(table: TaskTable, alive: Callable[[Task], bool]) -> frozenset[int]:
    """Return the variants whose sink forms."""
    running = _fixpoint(table, alive)
    return frozenset(sink.variant for sink in table.sinks if sink.id in running)


def _fixpoint(table: TaskTable, alive: Callable[[Task], bool]) -> set[int]:
    """Return the ids of the tasks that still form; tasks may be listed in any order."""
    arrived: set[int] = set()
    running: set[int] = set()
    pending = [task for task in table.tasks if alive(task)]
    while pending:
        waiting: list[Task] = []
        for task in pending:
            if _forms(task, arrived):
                running.add(task.id)
                arrived.update(output.flow for output in task.outputs)
            else:
                waiting.append(task)
        if len(waiting) == len(pending):
            return running
        pending = waiting
    return running


def _forms(task: Task, arrived: set[int]) -> bool:
    return all(_group_forms(group, arrived) for need in task.inputs for group in need.groups)


def _group_forms(group: Group, arrived: set[int]) -> bool:
    return sum(map(arrived.issuperset, group.rows)) >= group.k
