"""Pins: obeyed where they can be, refused with the reason where they can't."""

from __future__ import annotations

import pytest
from plans import MIB, Sketch, equal_cluster, spec

from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Stage
from edgesplit.plan.check import check
from edgesplit.plan.procedure1 import procedure1
from edgesplit.spec.model import Pin


def plan(graph: Graph, *pins: Pin, devices: int = 6, memory: int = 640) -> Allocation:
    allocation = procedure1(graph, equal_cluster(devices, memory=memory * MIB), spec(pins=pins))
    check(graph, allocation)
    return allocation


def stage_of(allocation: Allocation, layer: str) -> Stage:
    return next(stage for stage in allocation.stages if layer in stage.layers)


def test_named_devices_hold_the_blocks_in_order(alex: Graph) -> None:
    pin = Pin("fc6", devices=("pi5", "pi2", "pi6"), parity=("pi1",))
    stage = stage_of(plan(alex, pin), "fc6")
    assert [share.device for share in stage.shares] == ["pi5", "pi2", "pi6"]
    assert stage.parity == ("pi1",)


def test_a_split_pin_splits_what_would_fit(alex: Graph) -> None:
    stage = stage_of(plan(alex, Pin("conv3", split="output", parity=0)), "conv3")
    assert [(share.lo, share.hi) for share in stage.shares] == [(0, 192), (192, 384)]
    assert stage.parity == ()


def test_a_number_of_parity_devices_overrules_the_model(alex: Graph) -> None:
    assert len(stage_of(plan(alex, Pin("fc6", parity=2)), "fc6").parity) == 2


def test_a_whole_layer_goes_to_its_device(alex: Graph) -> None:
    allocation = plan(alex, Pin("conv1", devices=("pi4",)), Pin("conv3", devices=("pi4",)))
    stage = stage_of(allocation, "conv1")
    assert stage.devices == ("pi4",)
    assert {"conv1", "conv2", "conv3"} <= set(stage.layers)


def test_a_whole_pin_keeps_a_bottleneck_whole() -> None:
    net = Sketch(1, 256, 14, 14).conv("heavy", 512, 7, 1, 3).graph()
    pins = (Pin("heavy", split="whole"),)
    found = procedure1(net, equal_cluster(5), spec(objective="throughput", pins=pins, parity=0))
    assert [stage.split for stage in found.stages] == ["whole"]


@pytest.mark.parametrize(
    ("pins", "what"),
    [
        ([Pin("fc66", split="output")], "did you mean 'fc6'"),
        ([Pin("fc6", devices=("pi1", "p2"))], "did you mean"),
        ([Pin("fc6", devices=("pi1", "pi1"))], "pi1 is named twice"),
        ([Pin("fc6", devices=("pi1", "pi2"), parity=("pi2",))], "pi2 is named twice"),
        ([Pin("fc6", devices=("pi1", "pi2"), split="whole")], "takes one device"),
        ([Pin("fc6", split="whole", parity=1)], "a whole layer has no parity"),
        ([Pin("fc6", devices=("pi1",), split="output")], "not only pi1"),
        ([Pin("fc6", parity=0), Pin("fc6", split="output")], "pinned twice"),
        (
            [Pin("fc6", devices=("pi1", "pi2")), Pin("fc7", devices=("pi2", "pi3"))],
            "pi2 is pinned twice",
        ),
        (
            [Pin("conv1", devices=("pi1",)), Pin("fc8", devices=("pi1",)), Pin("fc6", parity=1)],
            "pi1 is pinned twice",
        ),
        (
            [
                Pin("conv1", devices=("pi1",)),
                Pin("conv2", devices=("pi2",)),
                Pin("conv3", devices=("pi1",)),
            ],
            "pi1 is pinned twice",
        ),
    ],
)
def test_a_pin_that_contradicts_is_named(alex: Graph, pins: list[Pin], what: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(alex, *pins)
    assert what in str(caught.value)
    assert "pin of " in caught.value.where
    assert caught.value.remedy


def test_more_shares_than_channels_are_refused() -> None:
    net = Sketch(1, 8, 6, 6).conv("conv", 3, 3, 1, 1).graph()
    with pytest.raises(PlanError, match="3 output channels"):
        plan(net, Pin("conv", devices=("pi1", "pi2", "pi3", "pi4"), parity=0))


def test_a_layer_without_constant_weights_is_not_split() -> None:
    net = Sketch(1, 64).fc("first", 64).fc("second", 64)
    heavy = net.groups[1][0]
    net.groups[1][0] = type(heavy)(
        heavy.name, "MatMul", (heavy.inputs[0], "first.out"), heavy.outputs, {}
    )
    with pytest.raises(PlanError, match="no constants"):
        plan(net.graph(), Pin("second", split="output"))


def test_a_parity_device_that_is_too_small_is_refused(alex: Graph) -> None:
    pins = (Pin("fc6", devices=("pi1", "pi2"), parity=("pi3",)),)
    with pytest.raises(PlanError):
        plan(alex, *pins, memory=100)
    assert stage_of(plan(alex, *pins, memory=110), "fc6").parity == ("pi3",)


def test_pins_that_do_not_fit_are_said_to_be_the_reason(alex: Graph) -> None:
    with pytest.raises(PlanError) as caught:
        plan(alex, Pin("fc6", devices=("pi1",), split="whole"), memory=160)
    assert "pin" in str(caught.value)
    assert "160 MiB" in str(caught.value)
