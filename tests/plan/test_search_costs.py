"""What the search adds up of a path, against the simulation of the plan that it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from plans import equal_cluster, spec

from edgesplit.cost.profiles import GENERIC, NOTHING, RASPBERRY_PI_3B, Measured
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.predict import predict
from edgesplit.plan.search.drawing import stages
from edgesplit.plan.search.layouts import REQUEST, Layout, Parts, grids
from edgesplit.plan.search.paths import cheapest
from edgesplit.plan.search.pricing import Pricing
from edgesplit.plan.search.runs import Run, Runs
from edgesplit.spec.cluster import Cluster

BOARDS = equal_cluster(12, memory=1 << 30)
PACED = RASPBERRY_PI_3B.paced(GENERIC.message_seconds)


def priced(graph: Graph, devices: Cluster, measured: Measured = NOTHING) -> Pricing:
    return Pricing(Runs(graph, Parts(devices.devices, measured), 1), devices)


def simulated(pricing: Pricing, runs: Sequence[Run], measured: Measured = NOTHING) -> float:
    graph, model = pricing.runs.graph, spec(parity=0, window=1)
    plan = Allocation(pricing.cluster, model, graph.digest, stages(pricing.runs, runs))
    return predict(graph, plan, measured).latency


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.parametrize("count", [4, 6, 12])
def test_the_best_path_costs_what_its_plan_takes(
    alex: Graph, vgg: Graph, count: int, paced: bool
) -> None:
    devices = Cluster("some", BOARDS.devices[:count], BOARDS.gateway_link)
    measured = {device.name: PACED for device in devices.devices} if paced else NOTHING
    group = tuple(range(count))
    chosen = [Layout("whole", group[:1]), *grids(group)]
    chosen += [Layout("blocks", group), Layout("sums", group)]
    for graph in (alex, vgg):
        pricing = priced(graph, devices, measured)
        runs = [run for layout in chosen for run in pricing.runs.under(layout)]
        path = cheapest(pricing, runs, lambda cost: cost.latency)
        assert path is not None
        assert path.score == pytest.approx(simulated(pricing, path.runs, measured), rel=0.12)


def row(pricing: Pricing, *parts: tuple[Layout, int]) -> list[Run]:
    """Return a row of runs: layouts, each up to a layer."""
    found: list[Run] = []
    for layout, end in parts:
        start = found[-1].end if found else 0
        found += [
            run
            for run in pricing.runs.under(layout)
            if (run.start, run.end, run.after) == (start, end, layout)
        ]
    return found


def cost(pricing: Pricing, runs: Sequence[Run]) -> float:
    before = [REQUEST, *(run.after for run in runs)]
    spent = sum(pricing.run(*step).latency for step in zip(before, runs, strict=False))
    return spent + pricing.answer(before[-1]).latency


FOUR = tuple(range(4))
WHOLE, STRIPS, BLOCKS = Layout("whole", (0,)), Layout("tiles", FOUR, 4), Layout("blocks", FOUR)
SUMS = Layout("sums", FOUR)


def test_what_a_run_leaves_undone_costs_its_readers(alex: Graph) -> None:
    """AlexNet's second normalisation reaches over channels, so blocks of conv2 leave it."""
    pricing = priced(alex, BOARDS)
    names = [layer.name for layer in alex.layers]
    assert names[:3] == ["conv1", "conv2", "conv3"]
    runs = row(pricing, (STRIPS, 1), (BLOCKS, 2), (STRIPS, 3), *((WHOLE, n) for n in range(4, 9)))
    assert len(runs) == len(names)
    assert cost(pricing, runs) == pytest.approx(simulated(pricing, runs), rel=0.1)


def test_what_lies_on_one_device_is_away_for_the_others(alex: Graph) -> None:
    pricing = priced(alex, BOARDS)
    first = [(WHOLE, n) for n in range(1, 6)]
    runs = row(pricing, *first, (SUMS, 6), (WHOLE, 7), (WHOLE, 8))
    assert [run.split for run in runs] == [*["whole"] * 5, "input", *["whole"] * 2]
    assert cost(pricing, runs) == pytest.approx(simulated(pricing, runs), rel=0.1)
