"""The search itself: the best path of each group of devices, judged by the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from edgesplit.cost.chain import Chain
from edgesplit.cost.memory import BASE
from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.errors import PinError, PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.costing import Costing
from edgesplit.plan.infeasible import why_infeasible
from edgesplit.plan.pins import Pinned, check_single_stages, resolve
from edgesplit.plan.predict import predict
from edgesplit.plan.procedure1 import procedure1
from edgesplit.plan.relabel import in_file_order
from edgesplit.plan.search.drawing import stages
from edgesplit.plan.search.exchange import Cost
from edgesplit.plan.search.groups import Group, groups, layouts
from edgesplit.plan.search.judging import Judged, judge
from edgesplit.plan.search.layouts import Layout, Parts
from edgesplit.plan.search.paths import Measure, Path, cheapest
from edgesplit.plan.search.permitted import Permits
from edgesplit.plan.search.pricing import Pricing
from edgesplit.plan.search.runs import Run, Runs
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec

TRUST = 1.1
"""How far above the simulation a path's own estimate may be."""

RENTS = (1e-10, 5e-10, 2e-9, 1e-8, 1e-7)
"""Seconds a byte of memory is taken to cost, one after the other, where paths exceed budgets."""


def search(
    graph: Graph, cluster: Cluster, model: ModelSpec, measured: Measured = NOTHING
) -> Allocation:
    """Return the best allocation over groups of devices, splits, grids and cuts, predicted.

    Dynamic programming finds the cheapest path for each group of devices; the simulator decides
    between them and what Procedure 1 finds.

    Raises:
        PlanError: A pin can't be met, or the model doesn't fit the devices.
    """
    pinned = resolve(graph, cluster, model)
    best = _Search(graph, cluster, model, pinned, measured).best()
    if best is None:
        return _otherwise(graph, cluster, model, pinned, measured)
    chosen = best.allocation
    if model.objective == "throughput" or _short(graph, cluster, model):
        chosen = _better(graph, best, measured)
    return replace(chosen, prediction=predict(graph, chosen, measured))


def _otherwise(
    graph: Graph, cluster: Cluster, model: ModelSpec, pinned: Pinned, measured: Measured
) -> Allocation:
    """Return what Procedure 1 finds where the search finds nothing, if it can meet the pins."""
    try:
        check_single_stages(graph, pinned)
    except PinError:
        raise why_infeasible(graph, cluster, model) from None
    return procedure1(graph, cluster, model, measured)


def _short(graph: Graph, cluster: Cluster, model: ModelSpec) -> bool:
    """Tell whether a device can't hold the whole model, so that stages are spread for memory."""
    needed = Costing(Chain(graph), model.window).footprint(0, len(graph.layers)).total
    return any(device.memory < needed for device in cluster.devices)


def _better(graph: Graph, best: Judged, measured: Measured) -> Allocation:
    """Return what Procedure 1 finds where that is better."""
    try:
        rival = procedure1(graph, best.allocation.cluster, best.allocation.model, measured)
    except PlanError:  # It gives a device one stage only, so it may fail where the search doesn't.
        return best.allocation
    return best.allocation if judge(graph, rival, measured, best) is None else rival


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A path that has not been judged yet, and the runs and the measure that it is best of."""

    runs: list[Run]
    measure: Measure
    path: Path
    estimate: float


@dataclass
class _Search:
    graph: Graph
    cluster: Cluster
    model: ModelSpec
    pinned: Pinned
    measured: Measured
    _held: Judged | None = None

    def best(self) -> Judged | None:
        """Return the best that fits the budgets; None where nothing does.

        The largest group is judged at once, so that small ones can be left out unseen.
        """
        waiting: list[_Candidate] = []
        for group in groups(self.cluster.devices, self.measured):
            if self._floor(group) < self._limit:
                chosen = layouts(group, self.model, self.pinned, self._permits.numbers)
                runs = [run for layout in chosen for run in self._allowed(layout, len(group))]
                for measure in _MEASURES[self.model.objective]:
                    waiting += self._found(runs, measure, 0.0)
                if self._held is None and waiting:
                    self._settle(waiting.pop())
        for candidate in sorted(waiting, key=lambda candidate: candidate.estimate):
            self._settle(candidate)
        return self._held

    @property
    def _limit(self) -> float:
        return self._held.rank[0] if self._held else inf

    def _found(self, runs: list[Run], measure: Measure, rent: float) -> list[_Candidate]:
        path = cheapest(
            self._pricing,
            runs,
            lambda cost: measure(cost) + rent * cost.memory,
            self.pinned.together,
        )
        return [] if path is None else [_Candidate(runs, measure, path, self._estimate(path))]

    def _estimate(self, path: Path) -> float:
        """Return what a path's own costs say of the objective, in seconds."""
        costs = [self._pricing.run(layout, run) for layout, run in path.steps]
        if self.model.objective == "latency":
            return sum(cost.latency for cost in costs)
        return max(map(sum, zip(*(cost[1:5] for cost in costs), strict=True)))

    def _settle(self, candidate: _Candidate) -> None:
        """Judge a candidate, then others of its runs with memory dearer while it's too large."""
        for rent in RENTS:
            if candidate.estimate >= TRUST * self._limit or not self._too_large(candidate.path):
                return
            (candidate,) = self._found(candidate.runs, candidate.measure, rent)
        self._too_large(candidate.path)

    def _too_large(self, path: Path) -> bool:
        """Hold a path if it is the best so far; tell whether it would be, but exceeds a budget."""
        if self._memory(path) > max(device.memory for device in self.cluster.devices):
            return True
        drawn = stages(self._pricing.runs, path.runs)
        drawn = in_file_order(drawn, self.cluster.devices, self.pinned.devices, self.measured)
        allocation = Allocation(self.cluster, self.model, self.graph.digest, drawn)
        found = judge(self.graph, allocation, self.measured, self._held)
        if found is not None and not found.excess:
            self._held = found
        return found is not None and found.excess > 0

    def _memory(self, path: Path) -> float:
        """Return what an executor needs at least; of runs whole on a device it is not the sum."""
        steps = [step for step in path.steps if step[1].split != "whole"]
        return BASE + sum(self._pricing.run(*step).memory for step in steps)

    def _allowed(self, layout: Layout, size: int) -> Iterator[Run]:
        """Yield the runs of a layout; convolutions are cut on channels over the whole group only.

        They seldom are at all, since all of a map has to be gathered for each.
        """
        for run in self._pricing.runs.under(layout):
            heavy = self.graph.layers[run.end - 1].heavy
            channels = run.split in {"output", "input"} and heavy is not None and heavy.op == "Conv"
            narrow = channels and len(layout.everyone) < size
            if (run.start in self.pinned.layers or not narrow) and self._permits.allows(run):
                yield run

    def _floor(self, group: Group) -> float:
        """Return seconds that no plan of a group can beat: its arithmetic, spread perfectly."""
        profiles = self._pricing.runs.parts.profiles
        named = {self._permits.numbers[name] for name in self.pinned.devices}
        speed = sum(profiles[index].macs_per_second for index in named.union(group))
        return sum(layer.macs for layer in self.graph.layers) / speed

    @cached_property
    def _permits(self) -> Permits:
        numbers = {device.name: index for index, device in enumerate(self.cluster.devices)}
        return Permits(self.graph, self.model, self.pinned, numbers)

    @cached_property
    def _pricing(self) -> Pricing:
        forced = frozenset(index for index in self.pinned.layers if self.pinned.must_split(index))
        parts = Parts(self.cluster.devices, self.measured)
        runs = Runs(self.graph, parts, self.model.window, forced)
        return Pricing(runs, self.cluster)


def _latency(cost: Cost) -> float:
    return cost.latency


def _compute(cost: Cost) -> float:
    return cost.compute + 0.1 * (cost.messages + cost.sending + cost.receiving)


def _everything(cost: Cost) -> float:
    return cost.compute + cost.messages + cost.sending + cost.receiving


_MEASURES: dict[str, tuple[Measure, ...]] = {
    "latency": (_latency,),
    "throughput": (_compute, _everything),
}
"""What is added up; throughput is the largest of several sums, so that some mixtures are tried."""
