"""The planner as the rest of edgesplit calls it: specifications in, a lowered allocation out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from edgesplit.cost.database import Database
from edgesplit.cost.profiles import Measured
from edgesplit.errors import ModelError
from edgesplit.graph.encoding import Request, with_encodings
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph, Pixels
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.bound import Bound, lower_bound
from edgesplit.plan.check import check
from edgesplit.plan.conflicts import blaming_pins
from edgesplit.plan.databases import class_of, load_databases
from edgesplit.plan.explain import Explanation, explain
from edgesplit.plan.lower import Lowered, lower
from edgesplit.plan.measured import measured_profiles
from edgesplit.plan.procedure1 import procedure1, single
from edgesplit.plan.replicas import replicated
from edgesplit.plan.search import random_allocation, search
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.cluster_file import load_cluster
from edgesplit.spec.located import load_yaml
from edgesplit.spec.model import Activations, ModelSpec
from edgesplit.spec.model_file import check_pins, parse_model
from edgesplit.zoo.inputs import load_input
from edgesplit.zoo.model_file import preprocessing_of, resolve

Strategy = Literal["procedure1", "search", "random", "single"]
"""How to choose: the paper's heuristics, the search, and two baselines."""


@dataclass(frozen=True)
class Planned:
    """An allocation with the model it is for and the dataflow it means.

    `measured` are the costs it was planned with where they are not the published ones.
    """

    allocation: Allocation
    graph: Graph
    lowered: Lowered
    measured: Measured = field(default_factory=dict)

    @cached_property
    def bound(self) -> Bound:
        """What no allocation of the model on the cluster can beat, at these costs."""
        return lower_bound(self.graph, self.allocation.cluster, self.measured)

    @property
    def gap(self) -> float:
        """How many times better another allocation might be, by the model's objective."""
        return self.bound.gap(self.allocation.predicted, self.allocation.model.objective)


@dataclass(frozen=True)
class Problem:
    """What is to be planned: a model over a cluster, with what was measured, by device class."""

    graph: Graph
    cluster: Cluster
    model: ModelSpec
    databases: Mapping[str, Database]

    @cached_property
    def measured(self) -> Measured:
        """What work costs on the devices whose class was measured."""
        return _measured(self.graph, self.cluster, self.databases)

    def over(self, cluster: Cluster) -> Problem:
        """Return the same model over another cluster."""
        return replace(self, cluster=cluster)

    def solve(self, strategy: Strategy, seed: int = 0) -> Planned:
        """Plan by a strategy; `seed` is for the random one.

        Raises:
            PlanError: No allocation satisfies the cluster, the model and the pins.
        """
        allocation = self._allocation(strategy, seed)
        return Planned(allocation, self.graph, lower(self.graph, allocation), self.measured)

    def explained(self, planned: Planned, strategy: Strategy, seed: int = 0) -> Explanation:
        """Return why a plan by a strategy is as it is."""

        def replan(cluster: Cluster) -> Allocation:
            return self.over(cluster).solve(strategy, seed).allocation

        return explain(self.graph, planned.allocation, replan, planned.measured)

    def _allocation(self, strategy: Strategy, seed: int) -> Allocation:
        if self.model.objective == "latency" or strategy in {"random", "single"}:
            return self.once(strategy, seed)

        def plan(part: Cluster) -> Allocation:
            return self.over(part).once(strategy, seed)

        return replicated(self.graph, self.cluster, plan, self.measured)

    def once(self, strategy: Strategy, seed: int) -> Allocation:
        """Return one way through the model, over all of the cluster; errors as of `solve`."""
        given = (self.graph, self.cluster, self.model)
        match strategy:
            case "procedure1" | "search":
                find = search if strategy == "search" else procedure1
                return blaming_pins(
                    self.model, lambda model: find(self.graph, self.cluster, model, self.measured)
                )
            case "random":
                return random_allocation(*given, seed, self.measured)
            case "single":
                return single(*given, self.measured)


def load_problem(
    cluster_file: Path, model_file: Path, cache: Path, activations: Activations | None = None
) -> Problem:
    """Return what the user's files ask to plan; `activations` overrides the model file's.

    Raises:
        SpecErrors: All that is wrong with a file, each with its place.
        ModelError: The model can't be imported.
    """
    cluster, model = load_files(cluster_file, model_file)
    wanted = replace(model, activations=activations or model.activations)
    return problem(cluster, wanted, cache)


def problem(cluster: Cluster, model: ModelSpec, cache: Path) -> Problem:
    """Return what it takes to plan a model over a cluster.

    Raises:
        ModelError: The model can't be imported.
    """
    return Problem(graph_of(model, cache), cluster, model, _databases(cache))


def plan_files(
    cluster_file: Path,
    model_file: Path,
    cache: Path,
    *,
    strategy: Strategy = "procedure1",
    seed: int = 0,
) -> Planned:
    """Plan from the user's files; errors as of `load_problem` and `Problem.solve`."""
    return load_problem(cluster_file, model_file, cache).solve(strategy, seed)


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


def plan_single(graph: Graph, allocation: Allocation, cache: Path) -> Planned:
    """Plan an allocation's model on the best single device of its cluster.

    Raises:
        PlanError: The model fits none of them.
    """
    return Problem(graph, allocation.cluster, allocation.model, _databases(cache)).solve("single")


def lower_allocation(allocation: Allocation, cache: Path) -> Planned:
    """Return what an allocation from a file means, checked against its model.

    Raises:
        ModelError: The model can't be imported.
        PlanError: The allocation doesn't fit the model.
    """
    graph = graph_of(allocation.model, cache)
    check(graph, allocation)
    measured = _measured(graph, allocation.cluster, _databases(cache))
    return Planned(allocation, graph, lower(graph, allocation), measured)


def _databases(cache: Path) -> Mapping[str, Database]:
    return load_databases(cache / "profiles")


def _measured(graph: Graph, cluster: Cluster, databases: Mapping[str, Database]) -> Measured:
    known = {device.name: databases.get(class_of(device)) for device in cluster.devices}
    return measured_profiles(graph, cluster, {n: found for n, found in known.items() if found})


def graph_of(model: ModelSpec, cache: Path) -> Graph:
    """Import a model, with what its file says of pixels and of activations.

    Raises:
        ModelError: The model can't be imported, or has several inputs to calibrate.
        UsageError: A file for calibration can't be read.
    """
    path = resolve(model.source, cache)
    graph = import_model(path, cache, _name(model), _pixels(model))
    if model.activations == "float32":
        return graph
    return with_encodings(graph, model.activations, _calibration(model, graph))


def _calibration(model: ModelSpec, graph: Graph) -> tuple[Request, ...]:
    """Return the requests of the calibration files; none are read that aren't needed."""
    if not model.calibration or model.activations != "uint8":
        return ()
    port, *others = graph.inputs
    if others:
        raise ModelError(
            f"{graph.name} has {len(graph.inputs)} inputs, and a file for calibration is one",
            remedy="leave `calibration` out of the model file",
        )
    how = preprocessing_of(model)
    return tuple({port.name: load_input(path, port, how)} for path in model.calibration)


def _pixels(model: ModelSpec) -> Pixels | None:
    """Return what the first shards do to pixels; None where the gateway is given floats."""
    how = preprocessing_of(model)
    return Pixels(how.scale, how.mean, how.std) if how.dtype == "uint8" else None


def _name(model: ModelSpec) -> str:
    source = model.source
    return source.zoo or (source.path.stem if source.path else "model")
