"""The planner as the rest of edgesplit calls it: specifications in, a lowered allocation out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph, Pixels
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.check import check
from edgesplit.plan.lower import Lowered, lower
from edgesplit.plan.procedure1 import procedure1, single
from edgesplit.plan.search import random_allocation, search
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.cluster_file import load_cluster
from edgesplit.spec.located import load_yaml
from edgesplit.spec.model import ModelSpec
from edgesplit.spec.model_file import check_pins, parse_model
from edgesplit.zoo.model_file import preprocessing_of, resolve

Strategy = Literal["procedure1", "search", "random", "single"]
"""How to choose: the paper's heuristics, the search, and two baselines."""


@dataclass(frozen=True)
class Planned:
    """An allocation with the model it is for and the dataflow it means."""

    allocation: Allocation
    graph: Graph
    lowered: Lowered


def plan(
    cluster: Cluster,
    model: ModelSpec,
    cache: Path,
    *,
    strategy: Strategy = "procedure1",
    seed: int = 0,
) -> Planned:
    """Plan a model over a cluster by a strategy; `seed` is for the random one.

    Raises:
        ModelError: The model can't be imported.
        PlanError: No allocation satisfies the cluster, the model and the pins.
    """
    graph = graph_of(model, cache)
    allocation = _allocation(graph, cluster, model, strategy, seed)
    return Planned(allocation, graph, lower(graph, allocation))


def plan_files(
    cluster_file: Path,
    model_file: Path,
    cache: Path,
    *,
    strategy: Strategy = "procedure1",
    seed: int = 0,
) -> Planned:
    """Plan from the user's files.

    Raises:
        SpecErrors: All that is wrong with a file, each with its place.
        ModelError: The model can't be imported.
        PlanError: No allocation satisfies the cluster, the model and the pins.
    """
    return plan(*load_files(cluster_file, model_file), cache, strategy=strategy, seed=seed)


def load_files(cluster_file: Path, model_file: Path) -> tuple[Cluster, ModelSpec]:
    """Read the user's files.

    Raises:
        SpecErrors: All that is wrong with a file, each with its place.
    """
    cluster = load_cluster(cluster_file)
    located = load_yaml(model_file)
    model = parse_model(located)
    check_pins(cluster, model, located)
    return cluster, model


def plan_single(graph: Graph, allocation: Allocation) -> Planned:
    """Plan an allocation's model on the best single device of its cluster.

    Raises:
        PlanError: The model fits none of them.
    """
    alone = single(graph, allocation.cluster, allocation.model)
    return Planned(alone, graph, lower(graph, alone))


def lower_allocation(allocation: Allocation, cache: Path) -> Planned:
    """Return what an allocation from a file means, checked against its model.

    Raises:
        ModelError: The model can't be imported.
        PlanError: The allocation doesn't fit the model.
    """
    graph = graph_of(allocation.model, cache)
    check(graph, allocation)
    return Planned(allocation, graph, lower(graph, allocation))


def _allocation(
    graph: Graph, cluster: Cluster, model: ModelSpec, strategy: Strategy, seed: int
) -> Allocation:
    match strategy:
        case "procedure1":
            return procedure1(graph, cluster, model)
        case "search":
            return search(graph, cluster, model)
        case "random":
            return random_allocation(graph, cluster, model, seed)
        case "single":
            return single(graph, cluster, model)


def graph_of(model: ModelSpec, cache: Path) -> Graph:
    """Import a model.

    Raises:
        ModelError: The model can't be imported.
    """
    return import_model(resolve(model.source, cache), cache, _name(model), _pixels(model))


def _pixels(model: ModelSpec) -> Pixels | None:
    """Return what the first shards do to pixels; None where the gateway is given floats."""
    how = preprocessing_of(model)
    return Pixels(how.scale, how.mean, how.std) if how.dtype == "uint8" else None


def _name(model: ModelSpec) -> str:
    source = model.source
    return source.zoo or (source.path.stem if source.path else "model")
