"""The estimate that step 2 chooses by, against the simulation of what it chose."""

from __future__ import annotations

import pytest
from plans import GIGABIT, MIB, cluster, device, equal_cluster, spec

from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.pins import resolve
from edgesplit.plan.predict import predict
from edgesplit.plan.solver import Solver
from edgesplit.spec.cluster import Cluster

CLUSTERS = {
    "six small": equal_cluster(6, memory=280 * MIB),
    "eight": equal_cluster(8, memory=700 * MIB),
    "mixed": cluster(
        *(device(f"old{n}") for n in range(4)),
        *(device(f"new{n}", profile="raspberry-pi-4b", link=GIGABIT) for n in range(4)),
    ),
}


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_the_estimate_is_near_the_simulation(
    alex: Graph, vgg: Graph, name: str, objective: str
) -> None:
    devices: Cluster = CLUSTERS[name]
    model = spec(objective=objective, window=2)
    for graph in (alex, vgg):
        solution = Solver(graph, model, resolve(graph, devices, model)).solve(devices.devices)
        assert solution is not None
        plan = Allocation(devices, model, graph.digest, solution.stages(graph))
        prediction, score = predict(graph, plan), solution.grouping.score
        figures = (prediction.latency, 1 / prediction.throughput)
        latency, busiest = score.decisive, score.other
        if objective == "throughput":
            latency, busiest = busiest, latency
        # No more than a window of requests passes in each latency.
        limit = max(busiest, latency / model.window)
        assert (latency, limit) == pytest.approx(figures, rel=0.05)
