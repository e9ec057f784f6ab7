"""Predictions: what an allocation is expected to reach, from its own task table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace

from edgesplit.cost.kernel import anchors
from edgesplit.cost.memory import Footprint, footprint
from edgesplit.cost.pace import message_ends
from edgesplit.cost.profiles import GENERIC, NOTHING, Measured, Profile, profile_of
from edgesplit.cost.simulate import Costs, simulate
from edgesplit.cost.work import Work
from edgesplit.dataflow.table import GATEWAY, Task, TaskTable
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, DevicePrediction, Prediction
from edgesplit.plan.coverage import single_losses
from edgesplit.plan.lower import Lowered, lower
from edgesplit.plan.shard import ShardSpec
from edgesplit.plan.tasks import request_bytes, seconds, task_works, together

Works = Mapping[int, tuple[Work, ...]]
"""What each task asks of its device, by task id."""


def predict(graph: Graph, allocation: Allocation, measured: Measured = NOTHING) -> Prediction:
    """Return latency, throughput, and each device's memory and times, for one request at a time.

    Throughput is what the busiest resource and the window of open requests allow.
    """
    lowered = lower(graph, allocation)
    table, works = lowered.table, works_of(graph, lowered)
    run = simulate(table, costs(allocation, lowered, works, measured))
    memory = footprints(allocation, lowered, works)
    devices = tuple(
        DevicePrediction(
            device=name,
            tasks=tuple(task.name for task in table.tasks_of(name)),
            memory=memory[name].anonymous,
            weights=memory[name].mapped,
            compute=run.usage[name].compute,
            transfer=run.usage[name].sending + run.usage[name].receiving,
            reserved=memory[name].reserved,
        )
        for name in table.devices
    )
    return Prediction(run.latency, run.throughput, devices, single_losses(table))


def works_of(graph: Graph, lowered: Lowered) -> Works:
    """Return the work of every task that has a shard, operator by operator."""
    priced = anchors(graph)
    return {spec.task: task_works(graph, spec, priced) for spec in lowered.shards}


def costs(
    allocation: Allocation, lowered: Lowered, works: Works, measured: Measured = NOTHING
) -> Costs:
    """Return what the tasks, messages and links of an allocation cost, the gateway's included."""
    cluster, crowd = allocation.cluster, len(lowered.table.devices)
    profiles = {d.name: profile_of(d, measured).among(crowd) for d in cluster.devices}
    messages = {name: profile.message_seconds for name, profile in profiles.items()}
    links = {device.name: device.link for device in cluster.devices}
    return Costs(
        tasks=task_seconds(allocation, lowered, works, measured),
        messages=messages | {GATEWAY: GENERIC.message_seconds},
        links=links | {GATEWAY: cluster.gateway_link},
        per_byte={name: profile.byte_seconds for name, profile in profiles.items()},
    )


def task_seconds(
    allocation: Allocation, lowered: Lowered, works: Works, measured: Measured = NOTHING
) -> dict[int, float]:
    """Return the compute time of every task on its device, in seconds; the gateway's are 0."""
    profiles = {device.name: profile_of(device, measured) for device in allocation.cluster.devices}
    return {
        task.id: 0.0
        if task.device == GATEWAY
        else seconds(works.get(task.id, ()), profiles[task.device])
        + _held(lowered.table, task, profiles[task.device])
        for task in lowered.table.tasks
    }


def _held(table: TaskTable, task: Task, profile: Profile) -> float:
    """Return the seconds by which pacing holds a task back for its messages."""
    return profile.held_seconds and profile.held_seconds * message_ends(table, task)


def footprints(allocation: Allocation, lowered: Lowered, works: Works) -> Mapping[str, Footprint]:
    """Return the memory of each device's executor, whose tasks run one at a time."""
    tiled = frozenset(
        (variant, stage.name)
        for variant, stages in enumerate(allocation.variants)
        for stage in stages
        if stage.split == "spatial"
    )
    found = {}
    for device in lowered.table.devices:
        tasks = _different(lowered, device)
        request = sum(request_bytes(lowered.table, task) for task in tasks)
        work = together(list(_kept(tasks, works, tiled)))
        sessions = sum(task.id in works for task in tasks)
        found[device] = footprint(work, request, allocation.model.window, sessions)
    return found


def _different(lowered: Lowered, device: str) -> list[Task]:
    """Return the tasks of a device; of those that run the same shard, the first."""
    specs: dict[int, ShardSpec] = {spec.task: replace(spec, task=0) for spec in lowered.shards}
    tasks = {specs.get(t.id, t.id): t for t in reversed(lowered.table.tasks_of(device))}
    return list(reversed(tasks.values()))


def _kept(tasks: Sequence[Task], works: Works, tiled: Container[tuple[int, str]]) -> Iterator[Work]:
    """Yield the works of a device; several tiles of a stage read its weights in one mapped file."""
    stages = Counter((task.variant, task.stage) for task in tasks)
    seen: set[tuple[int, str]] = set()
    for task in tasks:
        stage = task.variant, task.stage
        for work in works.get(task.id, ()):
            alike = stage in tiled and stages[stage] > 1
            yield work.in_file(again=stage in seen) if alike else work
        seen.add(stage)
