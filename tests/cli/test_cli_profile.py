"""`profile` from the command line, on two processes of this machine."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import yaml
from command_line import Desk
from deployments import free_range, processes_of

from edgesplit.plan.databases import load_databases
from edgesplit.plan.file import load_allocation
from edgesplit.plan.planner import lower_allocation
from edgesplit.plan.shard_specimens import shard_specimens

LENET = "source: zoo:lenet5\nparity: 0\ndeadline: 20 s\n"
FILES = ("cluster.yaml", "model.yaml")


def _cluster(**device: object) -> str:
    port = free_range("127.0.0.1", 12)
    defaults = {"connection": "local", "memory": "256 MiB", "cores": 1, **device}
    devices = {"a": {"port": port}, "b": {"port": port + 2}}
    return yaml.safe_dump({"name": f"profile-{port}", "defaults": defaults, "devices": devices})


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, dict[str, Any]]:
    """A folder with a cluster and a model, profiled; and what was told of that."""
    folder = tmp_path_factory.mktemp("profile")
    desk = Desk(folder, folder / "cache")
    desk.write("cluster.yaml", _cluster())
    desk.write("model.yaml", LENET)
    return desk, desk.json("profile", *FILES)


def test_kernels_and_links_are_measured_and_kept(profiled: tuple[Desk, dict[str, Any]]) -> None:
    desk, told = profiled
    (one,) = told["classes"]
    (kept,) = load_databases(desk.cache / "profiles").values()
    assert one["class"] == kept.name == "this-machine"
    assert one["failed"] == []
    assert one["measured"] >= len(kept.points) > 20
    assert {"Conv", "Gemm", "MaxPool", "Softmax", "any"} == set(one["lines"]) == set(kept.rates)
    assert len(kept.models) == 1
    assert kept.run > 0
    assert kept.step is not None
    assert kept.message is not None
    assert [link["ends"] for link in told["links"]] == [["a", "b"], ["gateway", "a"]]
    assert all(link["link"]["bandwidth"] > 0 for link in told["links"])


def test_the_shards_of_the_plan_are_measured_too(profiled: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = profiled
    for strategy in ("search", "procedure1"):
        desk.done("plan", *FILES, "--strategy", strategy, "-o", "next.yaml")
        planned = lower_allocation(load_allocation(desk.folder / "next.yaml"), desk.cache)
        assert not shard_specimens(planned)


def test_nothing_is_left_on_the_devices(profiled: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = profiled
    assert processes_of(desk.folder) == {}
    left = {path.suffix for path in desk.home.rglob("*") if path.is_file()}
    assert not left & {".onnx", ".weights", ".npy"}
    assert not [*desk.home.rglob("profile")]
    assert not [*desk.home.glob("*-links/*")]


def test_a_paced_device_is_as_fast_as_this_machine_and_nothing_is_measured_twice(
    profiled: tuple[Desk, dict[str, Any]],
) -> None:
    desk, _ = profiled
    before = (desk.cache / "profiles" / "this-machine.yaml").read_bytes()
    desk.write("paced.yaml", _cluster(profile="raspberry-pi-3b", pace=50))
    would = desk.json("profile", "paced.yaml", "model.yaml", "--dry-run")
    (one,) = would["classes"]
    assert one["class"] == "this-machine"
    assert one["specimens"] == 0
    assert one["known"] > 20
    assert would["links"] == [["a", "b"]]
    (anew,) = desk.json("profile", "paced.yaml", "model.yaml", "--dry-run", "--again")["classes"]
    assert anew["specimens"] == one["known"] + 1
    assert (desk.cache / "profiles" / "this-machine.yaml").read_bytes() == before


def test_people_are_told_lines_and_what_comes_next(profiled: tuple[Desk, dict[str, Any]]) -> None:
    told = profiled[0].told("profile", *FILES)
    assert "MaxPool" in told
    assert "0 kernels measured on a" in told
    assert "edgesplit plan cluster.yaml model.yaml" in told


def test_a_bad_database_is_told_with_its_place(profiled: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = profiled
    path = desk.cache / "profiles" / "other.yaml"
    path.write_text("edgesplit: 1\ndevise: x\n")
    try:
        failed = desk.run("profile", *FILES)
    finally:
        path.unlink()
    assert failed.returncode == 2
    assert "other.yaml:2" in failed.stderr


def test_a_busy_device_is_not_disturbed(profiled: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = profiled
    desk.write("wider.yaml", "source: {zoo: lenet5, width: 2}\nparity: 0\n")
    desk.done("plan", *FILES, "-o", "allocation.yaml")
    desk.done("deploy", "allocation.yaml")
    try:
        refused = desk.run("profile", "cluster.yaml", "wider.yaml")
        assert refused.returncode == 1
        assert "--force" in refused.stderr
        desk.done("status", "allocation.yaml")
    finally:
        desk.done("down", "allocation.yaml", "--purge")


def test_interrupted_it_leaves_nothing_running(profiled: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = profiled
    desk.write("wide.yaml", "source: {zoo: lenet5, width: 3}\nparity: 0\n")
    with desk.begun("profile", "cluster.yaml", "wide.yaml", until="timing kernels") as process:
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    assert processes_of(desk.folder) == {}
    assert not [*desk.home.rglob("profile")]
