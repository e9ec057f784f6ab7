"""Faults as a person makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Desk
from lab_bed import lab, need
from lab_probes import banner

from edgesplit.lab.bed import Level
from edgesplit.lab.faults import Kind

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def root_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with lab(folder, 1):
        yield Desk(folder, folder / "cache")


def test_faults_are_made_listed_and_undone_by_command(tmp_path: Path) -> None:
    with lab(tmp_path, 2) as made:
        desk = Desk(tmp_path, tmp_path / "cache")
        told = desk.told("lab", "fault", "blackhole", "pi1")
        assert "undo: edgesplit lab fault undo pi1 blackhole" in told
        assert banner(made, made.hosts[0]) == "silence"
        assert "5.0% of the frames" in desk.told("lab", "fault", "loss", "pi2", "5")
        assert "20 Mbit/s" in desk.told("lab", "fault", "slow", "pi2", "20 Mbit/s")
        listed = json.loads(desk.done("lab", "fault", "list", "--json"))
        assert [(each["host"], each["kind"]) for each in listed] == [
            ("pi1", "blackhole"),
            ("pi2", "loss"),
            ("pi2", "slow"),
        ]
        assert "undone: pi1 blackhole" in desk.told("lab", "fault", "undo", "pi1")
        assert banner(made, made.hosts[0], 10) == "SSH-"
        assert "undone: pi2 loss" in desk.told("lab", "fault", "undo", "pi2", "loss")
        assert "pi2 has no such fault" in desk.told("lab", "fault", "undo", "pi2", "loss")
        assert "slow" in desk.told("lab", "fault", "list")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("slow", "pi1", "fast"), "'fast' can't be read"),
        (("loss", "pi1", "120"), "loss of an amount 1.2 makes no sense"),
        (("cpu", "pi1", "inf"), "cpu of an amount inf makes no sense"),
        (("cpu", "pi1", "0"), "cpu of an amount 0.0 makes no sense"),
        (("partition", "pi1", "pi1"), "can't be cut off from itself"),
        (("undo", "pi1", "hanging"), "there is no fault 'hanging'"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_usage(
    root_desk: Desk, words: tuple[str, ...], told: str
) -> None:
    finished = root_desk.run("lab", "fault", *words)
    assert finished.returncode == 2
    assert told in finished.stderr
    assert json.loads(root_desk.done("lab", "fault", "list", "--json")) == []


def test_what_a_level_lacks_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    need(Level.PLAIN)
    with lab(tmp_path, 1, level=Level.PLAIN):
        finished = Desk(tmp_path, tmp_path / "cache").run("lab", "fault", "freeze", "pi1")
        assert finished.returncode == 2
        assert "a lab of the level plain has none" in finished.stderr
        assert "--level root" in finished.stderr


def test_every_kind_has_a_command_that_tells_what_it_does(tmp_path: Path) -> None:
    told = Desk(tmp_path, tmp_path / "cache").done("lab", "fault", "--help")
    for kind in Kind:
        assert kind in told
