"""Profiling and tuning from the command line, on processes that imitate boards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import Desk
from deployments import free_range

from edgesplit.plan.databases import load_databases
from edgesplit.spec.cluster_file import PORTS

DEVICES = ("pi1", "pi2")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("tune")
    found = Desk(folder, folder / "cache")
    first = free_range("127.0.0.1", PORTS * len(DEVICES))
    devices = {name: {"port": first + PORTS * index} for index, name in enumerate(DEVICES)}
    defaults = {"connection": "local", "profile": "raspberry-pi-3b", "pace": "raspberry-pi-3b"}
    cluster = {"name": "tuned", "defaults": defaults, "devices": devices}
    model = {"source": {"zoo": "alexnet", "width": 0.125}, "parity": 0, "deadline": "30 s"}
    (folder / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    (folder / "model.yaml").write_text(yaml.safe_dump(model))
    return found


def test_what_was_never_profiled_is_not_tuned(desk: Desk) -> None:
    refused = desk.run("tune", "cluster.yaml", "model.yaml")
    assert refused.returncode == 2
    assert "edgesplit profile" in refused.stderr
    assert not (desk.folder / "allocation.yaml").exists()


def test_tuning_corrects_the_costs_and_leaves_its_best_plan_deployed(desk: Desk) -> None:
    desk.done("profile", "cluster.yaml", "model.yaml", "--json")
    (before,) = load_databases(desk.cache / "profiles").values()
    words = ("--rounds", "2", "-n", "5", "--strategy", "search", "--json")
    try:
        found = json.loads(desk.done("tune", "cluster.yaml", "model.yaml", *words))
        rounds = found["rounds"]
        assert [one["number"] for one in rounds] == list(range(1, len(rounds) + 1))
        assert all(one["alone"]["counts"]["lost"] == 0 for one in rounds)
        (after,) = load_databases(desk.cache / "profiles").values()
        assert after.message is not None
        assert {p.kernel for p in before.points} <= {p.kernel for p in after.points}
        assert (before.points, before.sessions) != (after.points, after.sessions)
        assert _stages(desk.folder / "allocation.yaml") == len(rounds[found["best"] - 1]["stages"])
        assert desk.run("status", "allocation.yaml").returncode == 0
    finally:
        desk.done("down", "allocation.yaml")


def _stages(path: Path) -> int:
    return len(yaml.safe_load(path.read_text())["stages"])
