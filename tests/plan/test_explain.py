"""Why a plan is as it is: no runner-up of an optimal stage is better, and figures are real ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import equal_cluster, spec

from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.check import check
from edgesplit.plan.compare import DRAWS, compare
from edgesplit.plan.explain import Explanation, explain
from edgesplit.plan.planner import Problem
from edgesplit.plan.predict import predict
from edgesplit.plan.procedure1 import single
from edgesplit.plan.search import search
from edgesplit.spec.model import Pin


def explained(graph: Graph, allocation: Allocation) -> Explanation:
    return explain(graph, allocation, lambda more: search(graph, more, allocation.model))


@pytest.fixture(scope="module")
def planned(alex: Graph) -> Allocation:
    return search(alex, equal_cluster(4), spec())


@pytest.fixture(scope="module")
def reasons(alex: Graph, planned: Allocation) -> Explanation:
    return explained(alex, planned)


def test_every_stage_is_explained(planned: Allocation, reasons: Explanation) -> None:
    assert [choice.stage for choice in reasons.choices] == list(planned.stages)
    for choice in reasons.choices:
        assert choice.share < choice.alone or choice.stage.split == "whole"


def test_a_runner_up_is_a_plan_and_costs_what_is_told(
    alex: Graph, planned: Allocation, reasons: Explanation
) -> None:
    assert planned.prediction is not None
    others = [choice for choice in reasons.choices if choice.runner_up]
    assert others
    for choice in others:
        index = planned.stages.index(choice.stage)
        stages = (*planned.stages[:index], *choice.runner_up, *planned.stages[index + 1 :])
        changed = replace(planned, stages=stages)
        check(alex, changed)
        cost = predict(alex, changed).latency - planned.prediction.latency
        assert choice.penalty == pytest.approx(cost)


def test_a_bad_split_has_a_better_runner_up(alex: Graph) -> None:
    devices = equal_cluster(2)
    names = [layer.name for layer in alex.layers]
    halves = Stage("conv1", ("conv1",), "input", (Share("pi1", 0, 1), Share("pi2", 1, 3)))
    rest = Stage("rest", tuple(names[1:]), "whole", (Share("pi1"),))
    bad = Allocation(devices, spec(parity=0), alex.digest, (halves, rest))
    check(alex, bad)
    assert explained(alex, bad).choices[0].penalty < 0


def test_one_device_more_is_planned_in_earnest(alex: Graph, reasons: Explanation) -> None:
    fifth = search(alex, equal_cluster(5), spec()).prediction
    assert fifth is not None
    assert reasons.larger is not None
    assert reasons.larger.latency == pytest.approx(fifth.latency)


def test_pins_leave_no_runner_up_that_breaks_them(alex: Graph) -> None:
    pinned = spec(pins=(Pin("conv1", devices=("pi1",)),))
    allocation = search(alex, equal_cluster(3), pinned)
    for choice in explained(alex, allocation).choices:
        if "conv1" in choice.stage.layers:
            assert all(stage.devices == ("pi1",) for stage in choice.runner_up)


def test_strategies_side_by_side(alex: Graph) -> None:
    devices = equal_cluster(3)
    problem = Problem(alex, devices, spec(), {})
    found = {one.strategy: one for one in compare(problem, seed=7)}
    assert list(found) == ["procedure1", "search", "random", "single"]
    assert found["random"].draws == DRAWS
    alone = single(alex, devices, spec()).prediction
    assert alone is not None
    assert found["single"].latency == alone.latency
    assert found["search"].latency < found["single"].latency < found["random"].latency


def test_a_strategy_that_finds_nothing_says_why(alex: Graph) -> None:
    small = Problem(alex, equal_cluster(4, memory=160 << 20), spec(parity=0), {})
    found = {one.strategy: one for one in compare(small)}
    assert "needs" in found["single"].refusal
    assert not found["search"].refusal
