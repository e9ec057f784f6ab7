"""Predictions: what an allocation is expected to reach, from its own task table."""

from __future__ import annotations

from collections.abc import Iterator

from edgesplit.cost.chain import Chain, Rows
from edgesplit.cost.memory import Footprint
from edgesplit.cost.profiles import GENERIC, profile_of
from edgesplit.cost.simulate import Costs, simulate
from edgesplit.cost.work import Work
from edgesplit.dataflow.table import GATEWAY, TaskTable
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, DevicePrediction, Prediction, Stage
from edgesplit.plan.costing import Costing
from edgesplit.plan.coverage import single_losses
from edgesplit.plan.lower import lower
from edgesplit.plan.splittable import channels


def predict(graph: Graph, allocation: Allocation) -> Prediction:
    """Return latency, throughput, and each device's memory and times, for one request at a time.

    Throughput is what the busiest compute or link allows.
    """
    table = lower(graph, allocation).table
    run = simulate(table, costs(graph, allocation, table))
    memory = footprints(graph, allocation)
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


def costs(graph: Graph, allocation: Allocation, table: TaskTable) -> Costs:
    """Return what the tasks, messages and links of an allocation cost, the gateway's included."""
    cluster = allocation.cluster
    messages = {device.name: profile_of(device).message_seconds for device in cluster.devices}
    links = {device.name: device.link for device in cluster.devices}
    return Costs(
        tasks=task_seconds(graph, allocation, table),
        messages=messages | {GATEWAY: GENERIC.message_seconds},
        links=links | {GATEWAY: cluster.gateway_link},
    )


def task_seconds(graph: Graph, allocation: Allocation, table: TaskTable) -> dict[int, float]:
    """Return the compute time of every task on its device, in seconds; the gateway's are 0."""
    costing = _costing(graph, allocation)
    seconds: dict[tuple[str, str], float] = {}
    for stage in allocation.stages:
        for device, block in held(stage).items():
            profile = profile_of(allocation.cluster.device(device))
            work = sum(work.seconds(profile) for work in _works(costing, stage, block))
            seconds[stage.name, device] = work + profile.step_seconds
    return {
        task.id: 0.0 if task.device == GATEWAY else seconds[task.stage, task.device]
        for task in table.tasks
    }


def held(stage: Stage) -> dict[str, int]:
    """Return how many channels each device of a stage holds; 0 where it holds the layers whole."""
    sizes = {share.device: share.hi - share.lo for share in stage.shares}
    return sizes | dict.fromkeys(stage.parity, max(sizes.values()))


def footprints(graph: Graph, allocation: Allocation) -> dict[str, Footprint]:
    """Return the memory of each device's executor."""
    costing = _costing(graph, allocation)
    found: dict[str, Footprint] = {}
    for stage in allocation.stages:
        for device, block in held(stage).items():
            one = _footprint(costing, stage, block)
            found[device] = one.beside(found[device]) if device in found else one
    return found


def _footprint(costing: Costing, stage: Stage, block: int) -> Footprint:
    start, end = _span(costing, stage)
    return costing.block_footprint(start, block) if block else costing.footprint(start, end)


def _works(costing: Costing, stage: Stage, block: int) -> Iterator[Work]:
    start, end = _span(costing, stage)
    works = costing.chain.works[start:end]
    if not block:
        return iter(works)
    graph = costing.chain.graph
    return iter([works[0].share(block / channels(graph, graph.layers[start]))])


def _span(costing: Costing, stage: Stage) -> tuple[int, int]:
    names = [layer.name for layer in costing.chain.graph.layers]
    start = names.index(stage.layers[0])
    return start, start + len(stage.layers)


def _costing(graph: Graph, allocation: Allocation) -> Costing:
    order = {layer.name: index for index, layer in enumerate(graph.layers)}
    splits = {
        order[stage.layers[0]]: Rows(len(stage.shares), len(stage.parity))
        for stage in allocation.stages
        if stage.split == "output"
    }
    return Costing(Chain(graph, splits), allocation.model.window)
