"""The search: figures to reach, budgets and pins kept, never slower with a device more."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plans import GIGABIT, MIB, Sketch, cluster, device, equal_cluster, spec

from edgesplit.dataflow.table import Port
from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph, Layer, Node, Value
from edgesplit.plan.allocation import Allocation, Prediction, Stage
from edgesplit.plan.check import check
from edgesplit.plan.lower import lower
from edgesplit.plan.predict import footprints, works_of
from edgesplit.plan.procedure1 import procedure1, single
from edgesplit.plan.search import random_allocation, search
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec, Pin

LARGE = 1024 * MIB


def predicted(allocation: Allocation) -> Prediction:
    assert allocation.prediction is not None
    return allocation.prediction


def over_budget(graph: Graph, allocation: Allocation) -> list[str]:
    lowered = lower(graph, allocation)
    needed = footprints(allocation, lowered, works_of(graph, lowered))
    devices = allocation.cluster
    return [name for name, use in needed.items() if use.total > devices.device(name).memory]


def gain(graph: Graph, count: int, model: ModelSpec) -> float:
    devices = equal_cluster(count, memory=LARGE)
    alone = predicted(single(graph, devices, model)).latency
    return alone / predicted(search(graph, devices, model)).latency


def convolution(channels: int, fan: int, *extents: int) -> Graph:
    """A single convolution of three wide windows over a map with any number of axes."""
    axes, shape = len(extents), (1, channels, *extents)
    weights = Value("w", (channels, fan, *(3,) * axes), "float32", constant=True)
    values = {"x": Value("x", (1, fan, *extents), "float32"), "w": weights}
    values["y"] = Value("y", shape, "float32")
    window = {"kernel_shape": [3] * axes, "strides": [1] * axes, "pads": [1] * (2 * axes)}
    node = Node("conv", "Conv", ("x", "w"), ("y",), window)
    macs, size = values["y"].region.size * fan * 3**axes, weights.region.size * 4
    layers = (Layer("conv", node, (node,), macs, size),)
    ports = [Port(name, values[name].shape, "float32") for name in "xy"]
    path = Path("sketch.onnx")
    return Graph(
        "conv", "digest", path, values, (node,), layers, (ports[0],), (ports[1],), opset=17
    )


class TestGain:
    @pytest.mark.parametrize(("count", "least"), [(4, 3.1), (6, 4.1), (12, 7.0)])
    def test_vgg16(self, vgg: Graph, count: int, least: float) -> None:
        assert gain(vgg, count, spec()) >= least

    @pytest.mark.parametrize(("count", "least"), [(4, 2.0), (6, 2.4), (12, 3.1)])
    def test_alexnet(self, alex: Graph, count: int, least: float) -> None:
        assert gain(alex, count, spec()) >= least

    def test_the_heaviest_layer_of_c3d_on_three_devices(self) -> None:
        conv3b = convolution(256, 256, 8, 28, 28)
        assert conv3b.layers[0].macs == pytest.approx(11.1e9, rel=0.01)
        assert gain(conv3b, 3, spec()) >= 2.6

    @pytest.mark.parametrize("count", [4, 6])
    def test_twice_as_fast_as_random_assignment_on_alexnet(self, alex: Graph, count: int) -> None:
        assert over_random(alex, count) >= 2

    @pytest.mark.parametrize("count", [8, 11])
    def test_six_times_as_fast_as_random_assignment_on_vgg16(self, vgg: Graph, count: int) -> None:
        assert over_random(vgg, count) >= 6

    def test_throughput(self, vgg: Graph) -> None:
        devices, model = equal_cluster(6, memory=LARGE), spec(objective="throughput")
        alone = predicted(single(vgg, devices, model)).throughput
        assert predicted(search(vgg, devices, model)).throughput > 5 * alone


def over_random(graph: Graph, count: int) -> float:
    """How many times as long as a plan the mean of five random assignments takes."""
    devices = equal_cluster(count, memory=LARGE)
    times = [
        predicted(random_allocation(graph, devices, spec(), seed)).latency for seed in range(5)
    ]
    return sum(times) / len(times) / predicted(search(graph, devices, spec())).latency


def split_layers(allocation: Allocation, split: str) -> list[tuple[str, ...]]:
    return [stage.layers for stage in allocation.stages if stage.split == split]


def stage_of(allocation: Allocation, layer: str) -> Stage:
    return next(stage for stage in allocation.stages if layer in stage.layers)


class TestParityAndPins:
    def test_fully_connected_layers_are_split_with_parity_tiles_without(self, alex: Graph) -> None:
        allocation = search(alex, equal_cluster(6), spec(parity=2))
        assert split_layers(allocation, "spatial")
        assert split_layers(allocation, "output")
        for stage in allocation.stages:
            coded = stage.split == "output" and stage.layers[0].startswith("fc")
            assert len(stage.parity) == (2 if coded else 0)

    def test_without_parity_no_device_is_spent_on_it(self, alex: Graph) -> None:
        bare, coded = (search(alex, equal_cluster(6), spec(parity=rows)) for rows in (0, 1))
        assert not any(stage.parity for stage in bare.stages)
        assert predicted(bare).latency < predicted(coded).latency

    def test_pins_hold(self, alex: Graph) -> None:
        pins = (
            Pin("conv1", devices=("pi3",), split="whole"),
            Pin("conv4", devices=("pi4", "pi2"), parity=("pi5",)),
            Pin("conv5", split="output", parity=1),
            Pin("fc6", devices=("pi6", "pi1"), split="output", parity=0),
            Pin("fc7", split="whole"),
        )
        allocation = search(alex, equal_cluster(6), spec(pins=pins))
        check(alex, allocation)
        assert stage_of(allocation, "conv1").devices == ("pi3",)
        assert stage_of(allocation, "conv4").devices == ("pi4", "pi2", "pi5")
        assert stage_of(allocation, "conv4").parity == ("pi5",)
        assert len(stage_of(allocation, "conv5").parity) == 1
        assert stage_of(allocation, "fc6").devices == ("pi6", "pi1")
        assert stage_of(allocation, "fc7").split == "whole"

    def test_a_pin_that_cannot_be_met_is_named(self, alex: Graph) -> None:
        pins = (Pin("conv1", devices=("pi9",)),)
        with pytest.raises(PlanError, match="pi9"):
            search(alex, equal_cluster(2), spec(pins=pins))


class TestBudgets:
    def test_small_budgets_are_kept(self, alex: Graph) -> None:
        allocation = search(alex, equal_cluster(6, memory=160 * MIB), spec())
        assert not over_budget(alex, allocation)
        heuristic = procedure1(alex, equal_cluster(6, memory=160 * MIB), spec())
        assert predicted(allocation).latency < 0.5 * predicted(heuristic).latency

    def test_what_fits_nowhere_is_refused_with_numbers(self, alex: Graph) -> None:
        with pytest.raises(PlanError, match="fc6"):
            search(alex, equal_cluster(2, memory=32 * MIB), spec())

    def test_random_assignment_keeps_budgets_and_is_repeatable(self, alex: Graph) -> None:
        devices = equal_cluster(6, memory=160 * MIB)
        drawn = [random_allocation(alex, devices, spec(), seed) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        for allocation in drawn:
            check(alex, allocation)
            assert not over_budget(alex, allocation)
            assert split_layers(allocation, "output") == [("fc6",)]
            assert len(stage_of(allocation, "fc6").parity) == 1


def test_faster_devices_get_larger_tiles(vgg: Graph) -> None:
    slow = [device(f"old{n}", memory=LARGE) for n in range(2)]
    kind = {"profile": "raspberry-pi-4b", "link": GIGABIT}
    fast = [device(f"new{n}", memory=LARGE, **kind) for n in range(2)]
    allocation = search(vgg, cluster(*slow, *fast), spec())
    stage = stage_of(allocation, "conv1_2")
    assert stage.split == "spatial"
    areas = {s.device: prod(hi - lo for lo, hi in s.tile) for s in stage.shares}
    assert set(areas) == {"old0", "old1", "new0", "new1"}
    assert areas["new0"] == pytest.approx(2.4 * areas["old0"], rel=0.1)


def test_the_plan_is_deterministic(alex: Graph) -> None:
    assert search(alex, equal_cluster(5), spec()) == search(alex, equal_cluster(5), spec())


def test_a_device_more_never_makes_alexnet_slower(alex: Graph) -> None:
    times = [predicted(search(alex, equal_cluster(n), spec())).latency for n in range(1, 10)]
    assert times == sorted(times, reverse=True)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Chains with a skip now and then, large enough for splits to pay at times."""
    side = draw(st.integers(5, 20))
    net = Sketch(1, draw(st.integers(1, 8)), side, side)
    for index in range(draw(st.integers(1, 4))):
        kernel = draw(st.sampled_from([1, 3]))
        before, shape = net.at, net.shape
        net.conv(f"conv{index}", draw(st.sampled_from([16, 40, 200])), kernel, 1, kernel // 2)
        if net.shape == shape and draw(st.booleans()):
            net.add(f"add{index}", before)
        elif draw(st.booleans()):
            net.relu(f"relu{index}")
    net.flatten("flatten")
    for index in range(draw(st.integers(0, 3))):
        net.fc(f"fc{index}", draw(st.sampled_from([7, 300, 2000]))).relu(f"fc_relu{index}")
    return net.graph()


PROFILES = ["raspberry-pi-3b", "raspberry-pi-4b"]
clusters = st.lists(
    st.tuples(st.sampled_from(PROFILES), st.sampled_from([48, 96, 512])), min_size=2, max_size=5
).map(
    lambda drawn: cluster(
        *(
            device(f"pi{n}", profile=profile, memory=memory * MIB, link=GIGABIT)
            for n, (profile, memory) in enumerate(drawn)
        )
    )
)
models = st.builds(
    spec,
    objective=st.sampled_from(["latency", "throughput"]),
    parity=st.integers(0, 2),
    window=st.integers(1, 4),
)


def found(graph: Graph, devices: Cluster, model: ModelSpec) -> Allocation | None:
    try:
        return search(graph, devices, model)
    except PlanError:
        return None


@settings(max_examples=20, deadline=None)
@given(graphs(), clusters, models)
def test_any_plan_is_valid_within_budgets_and_no_worse_with_a_device_more(
    graph: Graph, devices: Cluster, model: ModelSpec
) -> None:
    before = found(graph, replace(devices, devices=devices.devices[:-1]), model)
    after = found(graph, devices, model)
    assume(after is not None)
    assert after is not None
    check(graph, after)
    assert not over_budget(graph, after)
    if before is not None and model.objective == "latency":
        assert predicted(after).latency <= predicted(before).latency
    elif before is not None:
        assert predicted(after).throughput >= predicted(before).throughput


@settings(max_examples=15, deadline=None)
@given(graphs(), st.integers(1, 6), models)
def test_a_plan_is_at_least_as_good_as_one_device(
    graph: Graph, count: int, model: ModelSpec
) -> None:
    devices = equal_cluster(count, memory=4096 * MIB)
    best, alone = (predicted(plan(graph, devices, model)) for plan in (search, single))
    if model.objective == "latency":
        assert best.latency <= alone.latency * (1 + 1e-9)
    else:
        heuristic = predicted(procedure1(graph, devices, model))
        assert best.throughput >= heuristic.throughput * (1 - 1e-9)
        assert best.throughput >= alone.throughput * (1 - 1e-9)
