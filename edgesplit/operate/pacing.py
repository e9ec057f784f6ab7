"""How long the tasks of devices that imitate slower boards must take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgesplit.cost.database import Database
from edgesplit.cost.pace import paces
from edgesplit.dataflow.table import TaskTable
from edgesplit.plan.measured import slowdown
from edgesplit.plan.planner import Planned
from edgesplit.plan.predict import Works, works_of
from edgesplit.plan.tasks import kernels_of
from edgesplit.shards.calibrate import measure, whole_model_cost
from edgesplit.shards.store import Store


def paces_of(planned: Planned, table: TaskTable, store: Store) -> Mapping[int, float]:
    """Return how long each task of a paced device must take, in seconds by task id.

    Args:
        planned: What is deployed.
        table: Its task table, shards built.
        store: Holds the shards, and remembers what they were measured to cost.
    """
    every = planned.allocation.cluster.devices
    paced = {d.name: d.pace for d in every if d.pace is not None and d.name in table.devices}
    costs = _costs(planned, table, paced, store)
    found: dict[int, float] = {}
    for name, pace in paced.items():
        factor = slowdown(pace, planned.graph, _whole(planned, name, store))
        found |= paces(table, costs, name, factor)
    return found


def _costs(
    planned: Planned, table: TaskTable, paced: Mapping[str, object], store: Store
) -> Mapping[str, float]:
    """Return seconds of shards on this machine: as they were profiled here, or measured now.

    What is measured twice on a busy machine comes out different; what imitates a board should not.
    """
    works = works_of(planned.graph, planned.lowered)
    known = dict(cost for name in paced for cost in _profiled(planned, table, works, name))
    every = (task.shard for name in paced for task in table.tasks_of(name) if task.shard)
    return {**known, **measure((shard for shard in every if shard not in known), store)}


def _profiled(
    planned: Planned, table: TaskTable, works: Works, name: str
) -> Iterator[tuple[str, float]]:
    database = _database(planned, name)
    for task in table.tasks_of(name):
        kernels = kernels_of(works.get(task.id, ()))
        if task.shard and kernels and database and database.measured(kernels):
            yield task.shard, database.together(kernels) + database.run


def _whole(planned: Planned, name: str, store: Store) -> float:
    database = _database(planned, name)
    whole = database.models.get(planned.graph.digest) if database else None
    if database and whole is not None:
        return whole + database.run
    return whole_model_cost(planned.graph, store)


def _database(planned: Planned, name: str) -> Database | None:
    profile = planned.measured.get(name)
    return profile.database if profile else None
