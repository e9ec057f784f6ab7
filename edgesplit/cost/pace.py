"""Pacing: how long each task must take on a device that imitates a slower board.

Times come from stored costs, never from live measurement, so that a busy host does not change
what is emulated. A paced device runs one thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgesplit.dataflow.table import Task, TaskTable

MESSAGE_SECONDS = 30e-6
"""Processor time of one end of one message on this machine, to be scaled with the pace."""


def paces(
    table: TaskTable, costs: Mapping[str, float], device: str, factor: float
) -> dict[int, float]:
    """Return the seconds that each task of a device must take, its messages' ends included.

    Args:
        table: The task table, shards built.
        costs: Seconds of each shard on this machine, one thread, by digest.
        device: The paced device.
        factor: How many times slower than this machine the device is.
    """
    return {
        task.id: factor
        * (costs.get(task.shard or "", 0.0) + MESSAGE_SECONDS * message_ends(table, task))
        for task in table.tasks_of(device)
    }


def message_ends(table: TaskTable, task: Task) -> int:
    """Return how many messages a task receives from and sends to other devices."""
    sent = sum(
        receiver != task.device
        for out in task.outputs
        for receiver in table.flows[out.flow].receivers
    )
    return len(table.received(task)) + sent
