"""Device order: interchangeable devices appear in the order of the cluster file."""

from __future__ import annotations

import pytest
from hand_made import split, whole
from hypothesis import given
from hypothesis import strategies as st
from plans import MIB, alexnet, device, equal_cluster, spec

from edgesplit.plan.allocation import Stage
from edgesplit.plan.procedure1 import procedure1
from edgesplit.plan.relabel import in_file_order
from edgesplit.spec.cluster import Device
from edgesplit.spec.model import Pin

STAGES = (
    whole("pi4", "conv"),
    split("fc6", ("pi2", 0, 4), ("pi3", 4, 8), parity=("pi1",)),
    whole("pi5", "fc7", "fc8"),
)


def names(stages: tuple[Stage, ...]) -> list[tuple[str, ...]]:
    return [stage.devices for stage in stages]


def test_equal_devices_appear_in_file_order_data_before_parity() -> None:
    six = equal_cluster(6).devices
    found = in_file_order(STAGES, six, ())
    assert names(found) == [("pi1",), ("pi2", "pi3", "pi4"), ("pi5",)]
    assert [(share.lo, share.hi) for share in found[1].shares] == [(0, 4), (4, 8)]
    assert [stage.layers for stage in found] == [stage.layers for stage in STAGES]


def test_pinned_devices_stay_where_they_are() -> None:
    found = in_file_order(STAGES, equal_cluster(6).devices, {"pi1", "pi3"})
    assert names(found) == [("pi2",), ("pi4", "pi3", "pi1"), ("pi5",)]


@pytest.mark.parametrize(
    "change",
    [
        {"memory": 7 * MIB},
        {"profile": "raspberry-pi-4b"},
        {"pace": 3.0},
        {"link": device("other").link.__class__(1.0, 1.0)},
        {"connection": "local"},
    ],
)
def test_devices_of_another_kind_are_not_swapped(change: dict[str, object]) -> None:
    devices = [*equal_cluster(3).devices, device("pi4", **change), device("pi5", **change)]
    found = in_file_order(STAGES, devices, ())
    assert names(found) == [("pi4",), ("pi1", "pi2", "pi3"), ("pi5",)]


@given(st.permutations(equal_cluster(6).devices), st.permutations([f"pi{n}" for n in range(1, 7)]))
def test_it_is_a_fixed_point_and_loses_nobody(devices: list[Device], used: list[str]) -> None:
    stages = (whole(used[0], "a"), split("b", (used[1], 0, 1), (used[2], 1, 2), parity=(used[3],)))
    once = in_file_order(stages, devices, ())
    assert in_file_order(once, devices, ()) == once
    appeared = [name for stage in once for name in stage.devices]
    assert appeared == [device.name for device in devices[:4]]


def test_a_plan_hands_out_equal_devices_in_file_order() -> None:
    found = procedure1(alexnet(), equal_cluster(6, memory=160 * MIB), spec())
    assert names(found.stages) == [("pi1",), ("pi2", "pi3", "pi4"), ("pi5",)]
    assert found.prediction is not None
    assert found.prediction.survives == ("pi2", "pi3", "pi4")


def test_a_plan_leaves_pinned_devices_alone() -> None:
    pin = Pin("fc6", ("pi5", "pi2"), "output", ("pi1",))
    found = procedure1(alexnet(), equal_cluster(6, memory=160 * MIB), spec(pins=(pin,)))
    assert names(found.stages) == [("pi3",), ("pi5", "pi2", "pi1"), ("pi4",)]
