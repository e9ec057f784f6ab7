"""Pins of several layers, of every split, on shared devices; and which are blamed for what."""

from __future__ import annotations

from pathlib import Path

import pytest
from plans import MIB, equal_cluster, spec

from edgesplit.errors import PinError, PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Stage
from edgesplit.plan.check import check
from edgesplit.plan.conflicts import blaming_pins
from edgesplit.plan.procedure1 import procedure1
from edgesplit.plan.search import random_allocation, search
from edgesplit.spec.located import load_yaml
from edgesplit.spec.model import ModelSpec, Pin
from edgesplit.spec.model_file import parse_model


def plan(graph: Graph, *pins: Pin, devices: int = 4, memory: int = 640) -> Allocation:
    cluster = equal_cluster(devices, memory=memory * MIB)
    allocation = search(graph, cluster, spec(pins=pins, parity=0))
    check(graph, allocation)
    return allocation


def stages_of(allocation: Allocation, *layers: str) -> list[Stage]:
    found = [next(one for one in allocation.stages if layer in one.layers) for layer in layers]
    return list(dict.fromkeys(found))


def devices_of(stage: Stage) -> tuple[str, ...]:
    return tuple(share.device for share in stage.shares)


@pytest.mark.parametrize(
    "pin",
    [
        Pin("front", ("pi3", "pi1"), "spatial", layers=("conv1", "conv2", "conv3")),
        Pin("front", ("pi3", "pi1"), "spatial", layers=("conv1..conv2", "conv3")),
        Pin("conv1..conv3", ("pi3", "pi1"), "spatial"),
    ],
)
def test_a_run_of_layers_is_tiled_over_its_devices_in_order(alex: Graph, pin: Pin) -> None:
    found = stages_of(plan(alex, pin), "conv1", "conv2", "conv3")
    assert {stage.split for stage in found} == {"spatial"}
    assert {devices_of(stage) for stage in found} == {("pi3", "pi1")}


@pytest.mark.parametrize("split", ["input", "output"])
def test_layers_are_split_as_pinned(alex: Graph, split: str) -> None:
    pin = Pin("fc6..fc7", ("pi2", "pi4"), split)  # type: ignore[arg-type] # the parameters are
    found = stages_of(plan(alex, pin), "fc6", "fc7")
    assert {stage.split for stage in found} == {split}
    assert {devices_of(stage) for stage in found} == {("pi2", "pi4")}


def test_layers_share_whatever_devices_the_planner_finds(alex: Graph) -> None:
    whole = stages_of(plan(alex, Pin("conv5..fc8", split="whole")), "conv5", "fc6", "fc7", "fc8")
    assert {stage.split for stage in whole} == {"whole"}
    assert len({devices_of(stage) for stage in whole}) == 1
    free = stages_of(plan(alex, Pin("conv4..fc7")), "conv4", "conv5", "fc6", "fc7")
    assert len({frozenset(devices_of(stage)) for stage in free}) == 1


def test_a_device_may_be_pinned_to_several_stages(alex: Graph) -> None:
    pins = (
        Pin("conv1", ("pi1",)),
        Pin("conv3", ("pi2", "pi1"), "spatial"),
        Pin("fc6", ("pi1", "pi2"), "output"),
        Pin("fc8", ("pi1",)),
    )
    allocation = plan(alex, *pins)
    for pin in pins:
        (stage,) = stages_of(allocation, pin.layer)
        assert devices_of(stage) == pin.devices


@pytest.mark.parametrize(
    ("pins", "what"),
    [
        ([Pin("conv1..conf3")], "did you mean 'conv3'"),
        ([Pin("conv3..conv1")], "conv3 comes after conv1"),
        ([Pin("a", layers=("conv1", "conv3"))], "conv2 lies between"),
        ([Pin("conv1..conv3"), Pin("conv2", split="whole")], "conv2 is pinned twice, here and at"),
        ([Pin("fc6", split="spatial")], "fc6 makes no map"),
        ([Pin("conv3", ("pi1",), "input")], "not only pi1"),
    ],
)
def test_a_wrong_pin_is_named(alex: Graph, pins: list[Pin], what: str) -> None:
    with pytest.raises(PinError) as caught:
        plan(alex, *pins)
    assert what in str(caught.value)
    assert caught.value.where == f"pin of {pins[-1].layer}"


@pytest.mark.parametrize(
    "pin",
    [Pin("conv1", split="spatial"), Pin("conv3", split="input"), Pin("conv1..conv2")],
)
def test_what_only_the_search_can_meet_is_said_by_the_others(alex: Graph, pin: Pin) -> None:
    cluster, model = equal_cluster(4), spec(pins=(pin,))
    with pytest.raises(PinError, match="--strategy search"):
        procedure1(alex, cluster, model)
    with pytest.raises(PinError, match="--strategy search"):
        random_allocation(alex, cluster, model, 0)


def written(folder: Path, *pins: str) -> ModelSpec:
    path = folder / "model.yaml"
    path.write_text("\n  ".join(["source: zoo:alexnet\nparity: 0\npins:", *pins]) + "\n")
    return parse_model(load_yaml(path))


def test_the_smallest_set_of_pins_that_conflicts_is_named_with_its_places(
    alex: Graph, tmp_path: Path
) -> None:
    cluster = equal_cluster(4, memory=200 * MIB)
    pins = [
        "conv1: {devices: pi2}",
        "fc6: {devices: pi1}",
        "fc8: {devices: pi2}",
        "fc7: {devices: pi1}",
    ]
    model = written(tmp_path, *pins)
    with pytest.raises(PinError) as caught:
        blaming_pins(model, lambda model: search(alex, cluster, model))
    assert caught.value.where == f"{tmp_path / 'model.yaml'}:5:3: pin of fc6"
    assert f"together with fc7 ({tmp_path / 'model.yaml'}:7:3)" in caught.value.what
    assert "conv1" not in str(caught.value)
    assert "fc8" not in str(caught.value)


def test_a_pin_that_fits_nowhere_is_blamed_alone(alex: Graph, tmp_path: Path) -> None:
    cluster = equal_cluster(4, memory=160 * MIB)
    model = written(tmp_path, "conv1: {devices: pi2}", "fc6: {split: whole}")
    with pytest.raises(PinError) as caught:
        blaming_pins(model, lambda model: procedure1(alex, cluster, model))
    assert caught.value.where.endswith(":5:3: pin of fc6")
    assert "can't be met:" in caught.value.what


def test_pins_are_not_blamed_for_what_is_not_their_fault(alex: Graph, tmp_path: Path) -> None:
    cluster = equal_cluster(2, memory=40 * MIB)
    model = written(tmp_path, "conv1: {devices: pi2}")
    with pytest.raises(PlanError) as caught:
        blaming_pins(model, lambda model: procedure1(alex, cluster, model))
    assert not isinstance(caught.value, PinError)
