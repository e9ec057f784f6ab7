"""Step 3 of Procedure 1: what a deployment was seen to take corrects what plans are made with.

*Collaborative Execution of Deep Neural Networks on Internet of Things Devices*, section 5,
watches a deployed allocation, adds what it sees to its database, and plans again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from statistics import mean

from edgesplit.cost.crowd import Crowd, including, price
from edgesplit.cost.database import LEAST, Database, Session
from edgesplit.cost.kernel import Kernel
from edgesplit.cost.pace import message_ends
from edgesplit.cost.profiles import profile_of
from edgesplit.cost.simulate import Costs, simulate
from edgesplit.dataflow.table import GATEWAY
from edgesplit.plan.databases import class_of
from edgesplit.plan.planner import Planned, Problem
from edgesplit.plan.predict import Works, works_of
from edgesplit.plan.predict import costs as costs_of
from edgesplit.plan.tasks import kernels_of

_HALVINGS = 40
_DEAREST = 0.1
"""Seconds that an end of a message costs at most: beyond, something else is wrong."""
_DEAREST_BYTE = 1e-6

Databases = Mapping[str, Database]


def corrected(
    problem: Problem, planned: Planned, tasks: Mapping[int, float], latency: float
) -> Databases:
    """Return the databases, corrected so that they predict what was seen.

    Kernels are as fast as the tasks they are in, and an end of a message costs what nothing else
    explains of the latency.

    Args:
        problem: What was planned.
        planned: The plan that was deployed.
        tasks: Seconds that tasks computed, pacing included, by task id.
        latency: Seconds of a request alone.
    """
    works = works_of(planned.graph, planned.lowered)
    seen = _seen(planned, works, tasks)
    message, cluster = message_price(planned, tasks, latency), problem.cluster.name
    return {
        name: replace(
            database.knowing(seen.get(name, ())),
            crowds={**database.crowds, cluster: _priced(database, planned, message)},
        )
        for name, database in problem.databases.items()
    }


def _priced(database: Database, planned: Planned, message: float) -> tuple[Crowd, ...]:
    """Return the crowds of a plan's cluster with this price for as many devices as it has."""
    known = database.crowds.get(planned.allocation.cluster.name, ())
    size = len(planned.lowered.table.devices)
    byte = price(known, size).byte if known else 0.0
    return including(known, Crowd(size, message, byte))


def message_price(planned: Planned, tasks: Mapping[int, float], latency: float) -> float:
    """Return what each end of a message on a device costs if requests take so long, in seconds.

    What its bytes cost is taken for known.

    Args:
        planned: The plan that was deployed.
        tasks: Seconds that tasks computed, pacing included, by task id.
        latency: Seconds of a request alone.
    """
    costs = _with_tasks(planned, tasks)
    ours = [name for name in costs.messages if name != GATEWAY]

    def simulated(price: float) -> float:
        messages = {**costs.messages, **dict.fromkeys(ours, price)}
        return simulate(planned.lowered.table, replace(costs, messages=messages)).latency

    return _root(simulated, latency, _DEAREST)


def byte_price(planned: Planned, tasks: Mapping[int, float], latency: float) -> float:
    """Return what a byte costs at each end of a message, in seconds, likewise."""
    costs = _with_tasks(planned, tasks)

    def simulated(price: float) -> float:
        per_byte = dict.fromkeys(costs.per_byte, price)
        return simulate(planned.lowered.table, replace(costs, per_byte=per_byte)).latency

    return _root(simulated, latency, _DEAREST_BYTE)


def _with_tasks(planned: Planned, tasks: Mapping[int, float]) -> Costs:
    """Return what a plan costs if its tasks take so long."""
    table = planned.lowered.table
    known = costs_of(planned.allocation, planned.lowered, {}, planned.measured)
    steps = {
        device.name: profile_of(device, planned.measured).step_seconds
        for device in planned.allocation.cluster.devices
    }
    spent = {task.id: tasks.get(task.id, 0.0) + steps.get(task.device, 0.0) for task in table.tasks}
    return replace(known, tasks=spent)


def _seen(
    planned: Planned, works: Works, tasks: Mapping[int, float]
) -> Mapping[str, list[Session]]:
    """Return what the kernels of tasks must have taken together, by device class."""
    seen: defaultdict[str, defaultdict[tuple[Kernel, ...], list[float]]]
    seen = defaultdict(lambda: defaultdict(list))
    for name, kernels, seconds in _sessions(planned, works, tasks):
        seen[name][kernels].append(seconds)
    return {
        name: [Session(kernels, mean(times)) for kernels, times in found.items()]
        for name, found in seen.items()
    }


def _sessions(
    planned: Planned, works: Works, tasks: Mapping[int, float]
) -> Iterator[tuple[str, tuple[Kernel, ...], float]]:
    """Yield class, kernels and seconds of each task that has any."""
    table, cluster = planned.lowered.table, planned.allocation.cluster
    for number, seconds in tasks.items():
        task = table.tasks[number]
        kernels = kernels_of(works.get(number, ()))
        if task.device == GATEWAY or not kernels:
            continue
        device = cluster.device(task.device)
        profile = profile_of(device, planned.measured)
        run = profile.database.run * profile.scale if profile.database else 0.0
        taken = seconds - run - profile.held_seconds * message_ends(table, task)
        yield class_of(device), kernels, max(LEAST, taken / profile.scale)


def _root(rising: Callable[[float], float], wanted: float, high: float) -> float:
    """Return where a rising function has a value; 0 or the high end where it has it nowhere."""
    low = 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return low
