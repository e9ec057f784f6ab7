"""float16 between devices: planned, deployed and measured through the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Four devices: all layers but the last on one, the last in two halves and their sum."""
    desk = Desk(tmp_path, tmp_path / "cache")
    desk.start_small()
    try:
        yield desk
    finally:
        desk.run("down", "allocation.yaml", "--purge")
        assert not desk.executors()


def test_activations_as_float16_from_plan_to_bench(desk: Desk) -> None:
    full = desk.json("plan", "cluster.yaml", "model.yaml", "--dry-run")
    bytewise = desk.json(
        "plan", "cluster.yaml", "model.yaml", "--activations", "uint8", "--dry-run"
    )
    desk.edit("model.yaml", "parity: 1", "parity: 1\nactivations: float16", "model.yaml")
    planned = desk.json("plan", "cluster.yaml", "model.yaml")
    assert full["rounding"] is None
    assert 0 < planned["rounding"]["error"] < 5e-3 < bytewise["rounding"]["error"] < 0.5
    assert planned["rounding"]["inputs"] == 8
    assert "activations: float16\n" in (desk.folder / "allocation.yaml").read_text("utf-8")

    deployed = desk.json("deploy", "allocation.yaml")
    assert deployed["rounding"] == planned["rounding"]
    assert deployed["verified"]["worst_error"] < 1e-4

    measured = desk.json("bench", "allocation.yaml", "-n", "12", "--rounds", "2")
    split, alone = measured["runs"]
    for run in (split, alone):
        counts = run["counts"]
        assert (counts["lost"], counts["wrong"]) == (0, 0)
    assert 0 < split["rounding"] < 5e-3
    assert alone["rounding"] is None

    told = desk.told("bench", "allocation.yaml", "-n", "4", "--rounds", "1", "--no-single")
    assert "rounding moves answers by up to" in " ".join(told.split())


def test_what_rounding_costs_is_told_to_people(desk: Desk) -> None:
    words = ("plan", "cluster.yaml", "model.yaml", "--activations", "uint8")
    told = " ".join(desk.told(*words).split())
    assert "activations travel as uint8: rounding moves answers by up to" in told
    desk.write("model.yaml", "source: zoo:lenet5\n")
    alone = " ".join(desk.told(*words, "--strategy", "single").split())
    assert "no activation crosses between devices" in alone
