"""Whether a measurement counts: boards at full speed, emulated ones at theirs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from edgesplit.dataflow.table import TaskTable
from edgesplit.operate.critical import Breakdown
from edgesplit.operate.rounds import DeviceFigures

SLIP_LIMIT = 0.05
"""Share of the mean latency, waiting in queues left out, that pacing may overrun."""


def slip_on_path(
    table: TaskTable, path: Breakdown | None, devices: Iterable[DeviceFigures]
) -> float:
    """Return the seconds of slip in a mean latency: that of the tasks on the critical path."""
    if path is None:
        return 0.0
    mean = {figures.device: figures.slip_mean for figures in devices}
    where = {task.id: task.device for task in table.tasks}
    return sum(mean.get(where[task], 0.0) for task in path.tasks)


def why_void(
    devices: Iterable[DeviceFigures], path: Breakdown | None, slip: float, limit: float
) -> str:
    """Return why a run doesn't count; empty where it does."""
    return "; ".join(filter(None, (_late(path, slip, limit), _throttled(devices))))


def _late(path: Breakdown | None, slip: float, limit: float) -> str:
    if path is None or slip <= limit * (path.latency - path.waiting):
        return ""
    share = slip / (path.latency - path.waiting)
    return (
        f"paced devices slipped {slip * 1000:.3g} ms past their targets on the critical path, "
        f"{share:.1%} of the mean latency without waiting (limit {limit:.1%}): this machine is too "
        "busy to emulate the cluster"
    )


def _throttled(devices: Iterable[DeviceFigures]) -> str:
    slowed = [f"{one.device} ({', '.join(one.throttled)})" for one in devices if one.throttled]
    return f"slowed down by their own firmware: {', '.join(slowed)}" if slowed else ""
