"""Procedure 1: every layer once, budgets kept, figure 13, never slower with a device more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plans import GIGABIT, MIB, Sketch, cluster, device, equal_cluster, spec

from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Prediction
from edgesplit.plan.check import check
from edgesplit.plan.coverage import survives
from edgesplit.plan.lower import lower
from edgesplit.plan.procedure1 import procedure1, single
from edgesplit.spec.cluster import Cluster, Device, Link
from edgesplit.spec.model import ModelSpec


def predicted(allocation: Allocation) -> Prediction:
    assert allocation.prediction is not None
    return allocation.prediction


def over_budget(allocation: Allocation) -> list[str]:
    return [
        part.device
        for part in predicted(allocation).devices
        if part.memory + part.weights + part.reserved
        > allocation.cluster.device(part.device).memory
    ]


class TestFigure13:
    """AlexNet over six devices (coded-robust-dnn-iot, section 6.1, figure 13)."""

    @pytest.mark.parametrize("objective", ["latency", "throughput"])
    def test_fc6_is_split_over_two_with_a_parity_device(self, alex: Graph, objective: str) -> None:
        allocation = procedure1(alex, equal_cluster(6, memory=160 * MIB), spec(objective=objective))
        split = [stage for stage in allocation.stages if stage.split == "output"]
        assert [stage.layers for stage in split] == [("fc6",)]
        assert [(share.lo, share.hi) for share in split[0].shares] == [(0, 2048), (2048, 4096)]
        assert len(split[0].parity) == 1
        assert len(allocation.stages) >= 3
        assert set(predicted(allocation).survives) == set(split[0].devices)

    def test_the_others_are_spread_for_throughput(self, alex: Graph) -> None:
        six = equal_cluster(6, memory=160 * MIB)
        allocation = procedure1(alex, six, spec(objective="throughput"))
        assert len(predicted(allocation).devices) == 6


def test_vgg16_needs_no_split_where_one_device_holds_it(vgg: Graph) -> None:
    allocation = procedure1(vgg, equal_cluster(12, memory=1024 * MIB), spec())
    assert [stage.split for stage in allocation.stages] == ["whole"]


def test_throughput_uses_more_devices_and_gains(vgg: Graph) -> None:
    twelve = equal_cluster(12, memory=1024 * MIB)
    alone = single(vgg, twelve, spec())
    spread = procedure1(vgg, twelve, spec(objective="throughput"))
    assert predicted(spread).throughput > 4 * predicted(alone).throughput


def test_a_bottleneck_layer_is_split_where_links_are_fast_enough() -> None:
    net = Sketch(1, 256, 14, 14).conv("small", 256, 1).conv("heavy", 512, 7, 1, 3)
    graph = net.relu("end").graph()
    fast, slow = equal_cluster(5, link=GIGABIT), equal_cluster(5, link=Link(1e5, 1e-3))
    alone = predicted(single(graph, fast, spec()))
    for objective in ("latency", "throughput"):
        model = spec(objective=objective, parity=0)
        found = procedure1(graph, fast, model)
        assert [stage.layers for stage in found.stages if stage.split == "output"] == [("heavy",)]
        assert all(stage.split == "whole" for stage in procedure1(graph, slow, model).stages)
        assert predicted(found).latency < 0.6 * alone.latency
        assert predicted(found).throughput > 1.5 * alone.throughput


def test_larger_budgets_do_not_make_a_plan_slower(alex: Graph) -> None:
    small, large = (equal_cluster(6, memory=size * MIB) for size in (160, 640))
    tight, loose = procedure1(alex, small, spec()), procedure1(alex, large, spec())
    assert predicted(loose).latency <= predicted(tight).latency


def test_borders_inside_a_group_reserve_no_windows(vgg: Graph) -> None:
    """Alone, conv1_2 would need 200 MiB for its windows; together with conv1_1 it doesn't."""
    allocation = procedure1(vgg, equal_cluster(12, memory=200 * MIB), spec())
    assert allocation.stages[0].split == "whole"
    assert not over_budget(allocation)


def test_unequal_devices_get_blocks_by_speed_and_the_fastest_holds_parity(alex: Graph) -> None:
    slow = [device(f"old{n}", memory=160 * MIB) for n in range(3)]
    fast = [device(f"new{n}", memory=160 * MIB, profile="raspberry-pi-4b") for n in range(3)]
    allocation = procedure1(alex, cluster(*slow, *fast), spec())
    stage = next(stage for stage in allocation.stages if stage.layers == ("fc6",))
    chosen = [allocation.cluster.device(name) for name in stage.devices]
    speeds = [d.profile == "raspberry-pi-4b" for d in chosen]
    assert speeds[-1] == max(speeds)
    sizes = {share.device: share.hi - share.lo for share in stage.shares}
    if len({d.profile for d in chosen[:-1]}) > 1:
        quick, late = sorted(sizes, key=lambda name: name.startswith("old"))
        assert sizes[quick] > sizes[late]


def test_the_plan_is_deterministic(alex: Graph) -> None:
    six = equal_cluster(6, memory=160 * MIB)
    assert procedure1(alex, six, spec()) == procedure1(alex, six, spec())


class TestSingle:
    def test_takes_the_fastest_device(self, alex: Graph) -> None:
        devices = cluster(device("slow"), device("fast", profile="raspberry-pi-5"))
        allocation = single(alex, devices, spec())
        assert [stage.devices for stage in allocation.stages] == [("fast",)]

    def test_budgets_bind_over_ssh_but_not_on_this_machine(self, alex: Graph) -> None:
        with pytest.raises(PlanError, match="160 MiB"):
            single(alex, equal_cluster(2, memory=160 * MIB), spec())
        local = equal_cluster(2, memory=160 * MIB, connection="local")
        assert single(alex, local, spec()).stages[0].split == "whole"


class TestNothingFits:
    def test_a_layer_too_large_for_any_split_is_named_with_numbers(self, alex: Graph) -> None:
        with pytest.raises(PlanError, match="fc6") as caught:
            procedure1(alex, equal_cluster(2, memory=32 * MIB), spec())
        assert "32 MiB" in caught.value.what
        assert "budget of" in caught.value.remedy

    def test_a_grouped_convolution_is_never_split(self) -> None:
        graph = Sketch(1, 512, 8, 8).conv("conv", 2048, 3, 1, 1).graph()
        node = graph.layers[0].heavy
        assert node is not None
        grouped = replace(node, attributes={**node.attributes, "group": 2})
        layer = replace(graph.layers[0], heavy=grouped, nodes=(grouped,))
        odd = replace(graph, nodes=(grouped,), layers=(layer,))
        assert procedure1(graph, equal_cluster(4, memory=96 * MIB), spec()).stages
        with pytest.raises(PlanError, match="grouped convolution"):
            procedure1(odd, equal_cluster(4, memory=96 * MIB), spec())

    def test_parity_without_devices_says_how_many_are_missing(self, alex: Graph) -> None:
        four = equal_cluster(4, memory=160 * MIB)
        with pytest.raises(PlanError, match="parity") as caught:
            procedure1(alex, four, spec())
        assert "add 1 device" in caught.value.remedy
        assert "parity: 0" in caught.value.remedy
        assert procedure1(alex, four, spec(parity=0)).stages
        assert procedure1(alex, equal_cluster(5, memory=160 * MIB), spec()).stages


PROFILES = ["raspberry-pi-3b", "raspberry-pi-4b", "raspberry-pi-5"]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    net = Sketch(1, draw(st.integers(1, 8)), 12, 12)
    for index in range(draw(st.integers(0, 4))):
        net.conv(f"conv{index}", draw(st.sampled_from([16, 40, 700])), 3, 1, 1)
        if draw(st.booleans()):
            net.relu(f"relu{index}")
    net.groups or net.conv("first", 8, 1)
    net.flatten("flatten")
    for index in range(draw(st.integers(0, 4))):
        net.fc(f"fc{index}", draw(st.sampled_from([7, 300, 2000]))).relu(f"fc_relu{index}")
    return net.graph()


@st.composite
def devices(draw: st.DrawFn) -> tuple[Device, ...]:
    def one(name: str) -> Device:
        return device(
            name,
            profile=draw(st.sampled_from(PROFILES)),
            memory=draw(st.sampled_from([40, 48, 64, 128, 512])) * MIB,
            link=GIGABIT,
        )

    return tuple(one(f"pi{n}") for n in range(draw(st.integers(1, 7))))


models = st.builds(
    spec,
    objective=st.sampled_from(["latency", "throughput"]),
    parity=st.integers(0, 2),
    window=st.integers(1, 4),
)


def planned(graph: Graph, devices: tuple[Device, ...], model: ModelSpec) -> Allocation | None:
    try:
        return procedure1(graph, Cluster("drawn", devices, GIGABIT), model)
    except PlanError:
        return None


@settings(max_examples=50, deadline=None)
@given(graphs(), devices(), models)
def test_any_plan_is_whole_ordered_and_within_budgets(
    graph: Graph, devices: tuple[Device, ...], model: ModelSpec
) -> None:
    allocation = planned(graph, devices, model)
    assume(allocation is not None)
    assert allocation is not None
    check(graph, allocation)
    assert not over_budget(allocation)
    used = [name for stage in allocation.stages for name in stage.devices]
    assert len(used) == len(set(used))
    table = lower(graph, allocation).table
    assert survives(table, frozenset())
    for stage in allocation.stages:
        assert len(stage.parity) == (model.parity if stage.split == "output" else 0)
        for name in stage.devices if stage.parity else ():
            assert survives(table, frozenset({name}))


@settings(max_examples=50, deadline=None)
@given(graphs(), devices(), models)
def test_one_more_device_never_makes_a_plan_worse(
    graph: Graph, devices: tuple[Device, ...], model: ModelSpec
) -> None:
    assume(len(devices) > 1)
    before, after = planned(graph, devices[:-1], model), planned(graph, devices, model)
    assume(before is not None)
    assert before is not None
    assert after is not None
    if model.objective == "latency":
        assert predicted(after).latency <= predicted(before).latency
    else:
        assert predicted(after).throughput >= predicted(before).throughput


@settings(max_examples=30, deadline=None)
@given(graphs(), st.integers(1, 6), models)
def test_a_plan_is_at_least_as_good_as_one_device(
    graph: Graph, count: int, model: ModelSpec
) -> None:
    many = equal_cluster(count, memory=2048 * MIB)
    best, alone = predicted(procedure1(graph, many, model)), predicted(single(graph, many, model))
    if model.objective == "latency":
        assert best.latency <= alone.latency * (1 + 1e-9)
    else:
        assert best.throughput >= alone.throughput * (1 - 1e-9)
