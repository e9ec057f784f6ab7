"""Why no allocation fits, with the numbers, and what would help."""

from __future__ import annotations

from dataclasses import replace

from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.pins import resolve, splits, wants_split
from edgesplit.plan.solver import Solver
from edgesplit.plan.splittable import why_not_coded
from edgesplit.spec.cluster import Cluster, Device
from edgesplit.spec.model import ModelSpec
from edgesplit.spec.units import format_bytes

_MORE = 16


def why_infeasible(graph: Graph, cluster: Cluster, model: ModelSpec) -> PlanError:
    """Return the error that says why a model doesn't fit a cluster."""
    solver = Solver(graph, model, resolve(graph, cluster, model))
    most = _roomiest(cluster)
    budget = f"the largest budget is {format_bytes(most.memory)}, of {most.name}"
    for index, least in _too_large(solver, graph, cluster)[:1]:
        layer = graph.layers[index]
        reason = why_not_coded(graph, layer) or "a pin keeps it whole"
        split = f"split over all {len(cluster.devices)} devices it still needs"
        why = split if solver.splittable(index) else f"it can't be split ({reason}) and needs"
        return PlanError(
            f"fits no device: {why} {format_bytes(least)}; {budget}",
            where=f"layer {layer.name}",
            remedy=f"give a device a budget of {format_bytes(least)} or more"
            + (", or add devices" if solver.splittable(index) else ""),
        )
    return PlanError(_what(graph, cluster, model), remedy=_remedy(graph, cluster, model))


def _too_large(solver: Solver, graph: Graph, cluster: Cluster) -> list[tuple[int, int]]:
    """Return layers of which no device can hold a least share, and their bytes, worst first."""
    largest = _roomiest(cluster).memory
    least = [(i, solver.least(i, len(cluster.devices))) for i in range(len(graph.layers))]
    return sorted((pair for pair in least if pair[1] > largest), key=lambda pair: -pair[1])


def _what(graph: Graph, cluster: Cluster, model: ModelSpec) -> str:
    parity = f" with {model.parity} parity device(s) per split stage" if model.parity else ""
    pins = " under these pins" if model.pins else ""
    return f"{graph.name} does not fit the {len(cluster.devices)} devices{parity}{pins}"


def _remedy(graph: Graph, cluster: Cluster, model: ModelSpec) -> str:
    advice = []
    missing = _missing(graph, cluster, model)
    if missing is not None:
        advice.append(f"add {missing} device(s) like {_roomiest(cluster).name}")
    if _solvable(graph, cluster, _without_parity(model)):
        advice.append("say `parity: 0`, which survives no loss")
    if model.pins and _solvable(graph, cluster, replace(model, pins=())):
        advice.append("loosen the pins: without them it fits")
    return ", or ".join(advice) or "give the devices larger memory budgets"


def _without_parity(model: ModelSpec) -> ModelSpec:
    pins = tuple(
        replace(pin, parity=0, split="output")
        if wants_split(pin) and "output" in splits(pin)
        else pin
        for pin in model.pins
    )
    return replace(model, parity=0, pins=pins)


def _missing(graph: Graph, cluster: Cluster, model: ModelSpec) -> int | None:
    """Return how many more of the roomiest device would be enough; None where many aren't."""
    like = _roomiest(cluster)
    for count in range(1, _MORE + 1):
        more = tuple(replace(like, name=f"{like.name}+{n}") for n in range(count))
        if _solvable(graph, replace(cluster, devices=cluster.devices + more), model):
            return count
    return None


def _roomiest(cluster: Cluster) -> Device:
    return max(cluster.devices, key=lambda device: device.memory)


def _solvable(graph: Graph, cluster: Cluster, model: ModelSpec) -> bool:
    pinned = resolve(graph, cluster, model)
    return Solver(graph, model, pinned).solve(cluster.devices) is not None
