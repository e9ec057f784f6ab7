"""Corrected costs predict what was seen, whatever the devices really are like."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import database, equal_cluster, spec

from edgesplit.cost.database import Database
from edgesplit.cost.pace import message_ends
from edgesplit.dataflow.table import Task
from edgesplit.graph.model import Graph
from edgesplit.plan.correction import corrected
from edgesplit.plan.databases import class_of
from edgesplit.plan.planner import Planned, Problem
from edgesplit.plan.predict import predict, task_seconds, works_of
from edgesplit.spec.cluster import Cluster


def problem(graph: Graph, cluster: Cluster, believed: Database) -> Problem:
    return Problem(graph, cluster, spec(parity=0), {class_of(cluster.devices[0]): believed})


def seen(asked: Problem, planned: Planned) -> tuple[dict[int, float], float]:
    """Return what a plan takes on the devices of a problem: tasks, and a request."""
    works = works_of(planned.graph, planned.lowered)
    given = (planned.allocation, planned.lowered, works, asked.measured)
    steps = {task.id: asked.measured[task.device].step_seconds for task in _own(planned)}
    tasks = {number: task_seconds(*given)[number] - step for number, step in steps.items()}
    return tasks, predict(planned.graph, planned.allocation, asked.measured).latency


def _own(planned: Planned) -> list[Task]:
    return [task for task in planned.lowered.table.tasks if task.shard is None][1:-1]


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("message", [0.0, 0.4e-3, 3e-3])
def test_the_next_prediction_is_what_was_seen(alex: Graph, factor: float, message: float) -> None:
    cluster = equal_cluster(4)
    believed = problem(alex, cluster, database(alex, 1.0))
    true = problem(alex, cluster, replace(database(alex, factor), message=message))
    planned = believed.solve("search")
    tasks, latency = seen(true, planned)
    better = replace(believed, databases=corrected(believed, planned, tasks, latency))
    again = predict(alex, planned.allocation, better.measured)
    assert again.latency == pytest.approx(latency, rel=0.01)


def test_one_slow_layer_becomes_dearer_and_others_stay(alex: Graph) -> None:
    cluster = equal_cluster(3)
    believed = problem(alex, cluster, database(alex, 1.0))
    planned = believed.solve("search")
    tasks, latency = seen(believed, planned)
    slow = {t.id for t in _own(planned) if t.stage == planned.allocation.stages[0].name}
    late = {number: seconds * (2 if number in slow else 1) for number, seconds in tasks.items()}
    better = replace(believed, databases=corrected(believed, planned, late, latency))
    works = works_of(alex, planned.lowered)
    given = (planned.allocation, planned.lowered, works, better.measured)
    expected = task_seconds(*given)
    step = better.measured["pi1"].step_seconds
    for number, seconds in late.items():
        assert expected[number] - step == pytest.approx(seconds, rel=0.02)


def test_what_pacing_holds_back_is_no_kernels_fault(alex: Graph) -> None:
    cluster = equal_cluster(3, pace="raspberry-pi-3b")
    believed = problem(alex, cluster, database(alex, 0.05))
    planned = believed.solve("search")
    assert any(message_ends(planned.lowered.table, task) for task in _own(planned))
    tasks, latency = seen(believed, planned)
    better = replace(believed, databases=corrected(believed, planned, tasks, latency))
    (before,), (after,) = believed.databases.values(), better.databases.values()
    for point in after.points:
        assert point.seconds == pytest.approx(before.seconds(point.kernel), rel=0.02)
