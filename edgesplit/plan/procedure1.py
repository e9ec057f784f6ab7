"""Procedure 1: who does what, by the heuristic of the paper.

"Collaborative Execution of Deep Neural Networks on Internet of Things Devices", section 5. Step 1
puts layers that exceed the memory of the devices on the model-parallel list, step 2 groups the
others so that devices have similar latency. Both are done for every number of devices, since more
of them are not always faster, and the predictions decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.devices import leading_groups
from edgesplit.plan.infeasible import why_infeasible
from edgesplit.plan.lower import lower
from edgesplit.plan.pins import Pinned, check_single_stages, resolve
from edgesplit.plan.predict import footprints, predict, works_of
from edgesplit.plan.relabel import in_file_order
from edgesplit.plan.solver import Solver
from edgesplit.spec.cluster import Cluster, Device
from edgesplit.spec.model import ModelSpec
from edgesplit.spec.units import format_bytes

SIZES = (*range(1, 33), 40, 48, 64, 96, 128, 192, 256)
"""Devices of a set that is tried; beyond the last, stages are shorter than a layer."""


def procedure1(
    graph: Graph, cluster: Cluster, model: ModelSpec, measured: Measured = NOTHING
) -> Allocation:
    """Return the best allocation that Procedure 1 finds, with its prediction.

    Raises:
        PlanError: A pin can't be met, or the model doesn't fit the devices.
    """
    pinned = resolve(graph, cluster, model)
    check_single_stages(graph, pinned)
    found = dict.fromkeys(_candidates(graph, cluster, model, pinned, measured))
    if not found:
        raise why_infeasible(graph, cluster, model)
    allocations = (Allocation(cluster, model, graph.digest, stages) for stages in found)
    return min((_judged(graph, found, measured) for found in allocations), key=_rank)


def single(
    graph: Graph, cluster: Cluster, model: ModelSpec, measured: Measured = NOTHING
) -> Allocation:
    """Return the whole model on the device that answers soonest, whatever the pins say.

    On this machine memory budgets are not binding: nothing else runs there in earnest.

    Raises:
        PlanError: The model fits no device.
    """
    whole = tuple(layer.name for layer in graph.layers)
    free = replace(model, pins=())
    candidates = [
        Allocation(cluster, free, graph.digest, (_alone(whole, device.name),))
        for device in cluster.devices
    ]
    fitting = [found for found in candidates if _fits(graph, found)]
    if not fitting:
        most = max(cluster.devices, key=lambda device: device.memory)
        needed = _needed(graph, candidates[0])
        raise PlanError(
            f"{graph.name} needs {format_bytes(needed)} on one device; {most.name} has the "
            f"largest budget, {format_bytes(most.memory)}"
        )
    judged = (_judged(graph, found, measured) for found in fitting)
    return min(judged, key=lambda found: found.predicted.latency)


def _alone(layers: tuple[str, ...], device: str) -> Stage:
    name = layers[0] if len(layers) == 1 else f"{layers[0]}..{layers[-1]}"
    return Stage(name, layers, "whole", (Share(device, 0, 0),))


def _fits(graph: Graph, allocation: Allocation) -> bool:
    device = allocation.cluster.device(allocation.stages[0].shares[0].device)
    return device.connection == "local" or _needed(graph, allocation) <= device.memory


def _needed(graph: Graph, allocation: Allocation) -> int:
    """Return the bytes that an allocation to a single device needs there."""
    lowered = lower(graph, allocation)
    (footprint,) = footprints(allocation, lowered, works_of(graph, lowered)).values()
    return footprint.total


def _candidates(
    graph: Graph, cluster: Cluster, model: ModelSpec, pinned: Pinned, measured: Measured
) -> Iterator[tuple[Stage, ...]]:
    """Yield the stages that are best on each set of devices that can hold the model."""
    solver = Solver(graph, model, pinned, measured)
    for devices in _sets(cluster, pinned, measured):
        solution = solver.solve(devices)
        if solution is not None:
            yield in_file_order(solution.stages(graph), cluster.devices, pinned.devices, measured)


def _judged(graph: Graph, allocation: Allocation, measured: Measured) -> Allocation:
    return replace(allocation, prediction=predict(graph, allocation, measured))


def _sets(cluster: Cluster, pinned: Pinned, measured: Measured) -> Iterator[Sequence[Device]]:
    """Yield the sets of devices to try: those that pins name, and more and more of the rest."""
    fixed = {device.name for device in cluster.devices if device.name in pinned.devices}
    free = [device for device in cluster.devices if device.name not in fixed]
    if fixed:
        yield [device for device in cluster.devices if device.name in fixed]
    for group in leading_groups(free, SIZES, measured):
        chosen = fixed.union(free[index].name for index in group)
        yield [device for device in cluster.devices if device.name in chosen]


def _rank(allocation: Allocation) -> tuple[float, float, int]:
    """Return what to compare allocations by: the objective, the other figure, the devices."""
    prediction = allocation.predicted
    figures = (prediction.latency, 1 / prediction.throughput)
    if allocation.model.objective == "throughput":
        figures = figures[::-1]
    return (*figures, len(prediction.devices))
