"""Judging: what the simulator and the budgets say of an allocation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgesplit.cost.profiles import Measured
from edgesplit.cost.simulate import simulate
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.lower import lower
from edgesplit.plan.predict import costs, footprints, works_of


@dataclass(frozen=True, slots=True)
class Judged:
    """An allocation with its figures in seconds, and the bytes by which it exceeds a budget."""

    allocation: Allocation
    latency: float
    busiest: float
    devices: int
    excess: int

    @property
    def rank(self) -> tuple[float, float, int]:
        """What to compare by: the objective, the other figure, the number of devices."""
        figures = (self.latency, self.busiest)
        if self.allocation.model.objective == "throughput":
            figures = figures[::-1]
        return (*figures, self.devices)


def judge(
    graph: Graph, allocation: Allocation, measured: Measured, limit: Judged | None = None
) -> Judged | None:
    """Simulate an allocation on its own task table; None where it is no better than the limit."""
    lowered = lower(graph, allocation)
    works = works_of(graph, lowered)
    run = simulate(lowered.table, costs(allocation, lowered, works, measured))
    devices = len(lowered.table.devices)
    found = Judged(allocation, run.latency, 1 / run.throughput, devices, 0)
    if limit is not None and found.rank >= limit.rank:
        return None
    memory = footprints(allocation, lowered, works)
    over = (use.total - allocation.cluster.device(name).memory for name, use in memory.items())
    return replace(found, excess=max(0, *over))
