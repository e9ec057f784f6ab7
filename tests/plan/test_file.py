"""The allocation file: what is written is read, and what is wrong is found in its place."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from plans import MIB, equal_cluster, spec

from edgesplit.errors import EdgesplitError, PlanError, SpecErrors
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.check import check
from edgesplit.plan.file import load_allocation, write_allocation
from edgesplit.plan.procedure1 import procedure1
from edgesplit.spec.model import Pin


@pytest.fixture
def allocation(alex: Graph) -> Allocation:
    pins = (Pin("fc6", parity=("pi6",)),)
    return procedure1(alex, equal_cluster(6, memory=160 * MIB), spec(pins=pins))


def test_what_is_written_is_read(allocation: Allocation, tmp_path: Path) -> None:
    path = tmp_path / "allocation.yaml"
    write_allocation(allocation, path)
    read = load_allocation(path)
    assert replace(read, prediction=None) == replace(allocation, prediction=None)
    assert read.prediction is not None
    assert allocation.prediction is not None
    assert read.prediction.latency == pytest.approx(allocation.prediction.latency, rel=1e-5)
    assert read.prediction.survives == allocation.prediction.survives
    memory = [(d.device, d.memory, d.weights, d.reserved) for d in read.prediction.devices]
    assert memory == [
        (d.device, d.memory, d.weights, d.reserved) for d in allocation.prediction.devices
    ]


def test_the_same_allocation_is_the_same_text(allocation: Allocation, tmp_path: Path) -> None:
    write_allocation(allocation, tmp_path / "one.yaml")
    write_allocation(load_allocation(tmp_path / "one.yaml"), tmp_path / "two.yaml")
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "two.yaml").read_bytes()


def test_a_failed_write_leaves_the_file_before(allocation: Allocation, tmp_path: Path) -> None:
    path = tmp_path / "allocation.yaml"
    write_allocation(allocation, path)
    before = path.read_bytes()
    (tmp_path / f".allocation.yaml.{os.getpid()}.part").mkdir()
    with pytest.raises((OSError, EdgesplitError)):
        write_allocation(replace(allocation, digest="other"), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("edgesplit: 1", "edgesplit: 2", "edgesplit"),
        ("parity: [pi6]\n", "parity: [pi66]\n", "did you mean 'pi6'"),
        ("split: output", "split: outputs", "split"),
        ("stages:", "stagess:", "did you mean 'stages'"),
    ],
)
def test_a_slip_of_the_hand_is_found_in_its_place(
    allocation: Allocation, tmp_path: Path, old: str, new: str, what: str
) -> None:
    path = tmp_path / "allocation.yaml"
    write_allocation(allocation, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SpecErrors) as caught:
        load_allocation(path)
    line = text[: text.index(old)].count("\n") + 1
    found = [error for error in caught.value.errors if what in str(error)]
    assert found
    assert f"allocation.yaml:{line}:" in found[0].where or "'stages' is missing" in str(
        caught.value
    )


def edited(allocation: Allocation, *stages: Stage) -> Allocation:
    return replace(allocation, stages=stages)


class TestCheck:
    def test_a_plan_passes(self, alex: Graph, allocation: Allocation) -> None:
        check(alex, allocation)

    def test_another_model_is_refused(self, alex: Graph, allocation: Allocation) -> None:
        with pytest.raises(PlanError, match="another version"):
            check(alex, replace(allocation, digest="0"))

    def test_a_stage_left_out_is_named(self, alex: Graph, allocation: Allocation) -> None:
        with pytest.raises(PlanError, match="fc7"):
            check(alex, edited(allocation, *allocation.stages[:-1]))

    def test_another_order_is_refused(self, alex: Graph, allocation: Allocation) -> None:
        with pytest.raises(PlanError, match="which a later stage makes"):
            check(alex, edited(allocation, *allocation.stages[::-1]))

    @pytest.mark.parametrize(
        "shares",
        [
            (Share("pi2", 0, 2000), Share("pi3", 2048, 4096)),
            (Share("pi2", 0, 2100), Share("pi3", 2048, 4096)),
            (Share("pi2", 0, 2048), Share("pi3", 2048, 4000)),
            (Share("pi2", 1, 2048), Share("pi3", 2048, 4096)),
            (Share("pi2", 0, 4096), Share("pi3", 4096, 4096)),
        ],
    )
    def test_gaps_overlaps_and_empty_blocks_are_refused(
        self, alex: Graph, allocation: Allocation, shares: tuple[Share, ...]
    ) -> None:
        stages = tuple(
            replace(stage, shares=shares) if stage.layers == ("fc6",) else stage
            for stage in allocation.stages
        )
        with pytest.raises(PlanError, match="0 to 4096"):
            check(alex, edited(allocation, *stages))

    def test_a_whole_stage_has_one_device(self, alex: Graph, allocation: Allocation) -> None:
        first, *rest = allocation.stages
        two = replace(first, shares=(Share("pi1", 0, 0), Share("pi2", 0, 0)))
        with pytest.raises(PlanError, match="one device"):
            check(alex, edited(allocation, two, *rest))
