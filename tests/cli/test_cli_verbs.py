"""Every verb as a newcomer uses it, on one deployment of a small cluster."""

from __future__ import annotations

import csv
import json
import os
import select
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import Desk, contents, refused, strict_json
from PIL import Image

COVERED, EXPOSED = "pi3", "pi1"


def test_the_starter_files_are_planned_and_the_table_fits_a_terminal(started: Desk) -> None:
    told = started.told("plan", "cluster.yaml", "model.yaml", "-o", "a.yaml")
    assert max(map(len, told.splitlines())) <= 80
    assert "fc1 parity 1/1" in told
    assert "next: edgesplit deploy a.yaml" in told
    assert (started.folder / "a.yaml").is_file()


def test_a_dry_run_of_a_plan_writes_nothing_and_its_json_says_so(started: Desk) -> None:
    before = contents(started.folder)
    plan = started.json("plan", "cluster.yaml", "model.yaml", "--dry-run")
    assert plan["file"] is None
    assert plan["prediction"]["survives"] == ["pi2", "pi3", "pi4", "pi6"]
    assert plan["prediction"]["latency"] == pytest.approx(plan["gap"] * plan["bound"]["latency"])
    assert plan["gap"] >= 1
    assert set(plan["not_survived"]) == {"pi1", "pi5"}
    assert contents(started.folder) == before


def test_a_long_path_is_printed_in_one_piece(started: Desk) -> None:
    name = "/".join(["a-folder-with-a-rather-long-name"] * 4) + "/my allocation.yaml"
    (started.folder / name).parent.mkdir(parents=True)
    told = started.told("plan", "cluster.yaml", "model.yaml", "-o", name)
    assert f"next: edgesplit deploy '{name}'" in told.splitlines()


def test_init_keeps_what_is_there_unless_it_is_forced(started: Desk) -> None:
    before = contents(started.folder)
    refused(started.run("init", "."), 2, "cluster.yaml and model.yaml", "--force")
    assert contents(started.folder) == before
    started.done("init", ".", "--force")
    assert contents(started.folder)["cluster.yaml"] != before["cluster.yaml"]


REASONS = ("plan", "cluster.yaml", "model.yaml", "--dry-run", "--explain", "--compare")


def test_reasons_and_rivals_of_a_plan(started: Desk) -> None:
    told = started.told(*REASONS)
    for word in ("next best", "one device more", "procedure1", "random (mean of 5)"):
        assert word in told
    plan = started.json(*REASONS)
    stages = [choice["stage"] for choice in plan["explanation"]["choices"]]
    assert stages == plan["stages"]
    assert {one["strategy"] for one in plan["strategies"]} >= {"search", "single"}


@pytest.mark.parametrize("kind", ["cluster", "model"])
def test_a_schema_is_one_json_document(desk: Desk, kind: str) -> None:
    assert strict_json(desk.done("schema", kind))["properties"]


def test_a_second_deploy_moves_nothing_and_restarts_nothing(deployed: Desk) -> None:
    before = _pids(deployed)
    would = deployed.json("deploy", "allocation.yaml", "--dry-run")
    assert would["mode"] == "unchanged"
    assert all(one["action"] == "keep" and not one["push"] for one in would["changes"])
    assert "nothing would be changed" in deployed.told("deploy", "allocation.yaml", "--dry-run")
    again = deployed.json("deploy", "allocation.yaml")
    assert (again["mode"], again["pushed"], again["new_shards"]) == ("unchanged", 0, 0)
    assert again["changed"] == []
    assert _pids(deployed) == before


def test_progress_in_a_pipe_is_one_line_a_step(deployed: Desk) -> None:
    again = deployed.run("deploy", "allocation.yaml")
    assert "nothing was changed" in again.stderr
    lines = again.stderr.splitlines()
    assert len(lines) == len(set(lines)) <= 12
    assert "checking devices" in lines
    assert all(lines)


def test_status_shows_every_device_and_is_degraded_while_one_is_dead(deployed: Desk) -> None:
    state = deployed.json("status", "allocation.yaml")
    assert {device["state"] for device in state["devices"]} == {"ready"}
    assert max(map(len, deployed.told("status", "allocation.yaml").splitlines())) <= 80
    supervisor = _run_file(deployed, COVERED)["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGTERM)
    _await_end(supervisor)
    degraded = deployed.run("status", "allocation.yaml", "--timeout", "1")
    assert degraded.returncode == 3
    assert "requests are still answered" in degraded.stderr
    answered = deployed.json("infer", "allocation.yaml", "-i", "x.npy")
    assert answered["recovered"] == 1
    mended = deployed.json("deploy", "allocation.yaml")
    assert mended["changed"] == [COVERED]


def test_infer_prints_classes_as_json_and_saves_outputs(deployed: Desk) -> None:
    told = deployed.told("infer", "allocation.yaml", "-i", "x.npy", "--top", "3")
    assert sum(line.startswith("│") for line in told.splitlines()) == 3
    assert "answered in" in told
    answer = deployed.json("infer", "allocation.yaml", "-i", "image=x.npy", "-o", "y.npz")
    with np.load(deployed.folder / "y.npz") as saved:
        assert np.allclose(saved["probabilities"], answer["outputs"]["probabilities"], atol=1e-6)
    assert answer["top"][0][0] == str(int(np.argmax(answer["outputs"]["probabilities"])))


def test_infer_takes_an_image(deployed: Desk) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(deployed.folder / "photo.png")
    assert deployed.json("infer", "allocation.yaml", "-i", "photo.png")["outputs"]


def test_nan_in_is_nan_out_as_the_whole_model_answers_and_valid_json(deployed: Desk) -> None:
    x = np.load(deployed.folder / "x.npy")
    x[0, 0, 3, 3] = np.nan
    np.save(deployed.folder / "nan.npy", x)
    answer = deployed.json("infer", "allocation.yaml", "-i", "nan.npy")
    assert answer["outputs"]["probabilities"] == [[None] * 10]


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((1, 1, 5, 32), np.float32), "float32 (1, 1, 5, 32)"),
        (np.zeros((1, 1, 32, 32), np.float64), "float64 (1, 1, 32, 32)"),
    ],
)
def test_an_input_of_another_kind_is_refused(deployed: Desk, array: np.ndarray, found: str) -> None:
    np.save(deployed.folder / "odd.npy", array)
    done = deployed.run("infer", "allocation.yaml", "-i", "odd.npy")
    refused(done, 2, "'image'", "float32 (1, 1, 32, 32)", "odd.npy", found)


def test_bench_measures_one_device_beside_it(deployed: Desk) -> None:
    told = deployed.told("bench", "allocation.yaml", "-n", "12", "--warm-up", "1")
    assert "gain over one device" in told
    assert max(map(len, told.splitlines())) <= 80
    assert len(deployed.executors()) == 8, "an executor and its supervisor on four devices"


def test_a_bench_that_is_interrupted_stops_its_single_device(deployed: Desk) -> None:
    before = _pids(deployed)
    with deployed.begun("bench", "allocation.yaml", until="waiting until") as process:
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    assert _pids(deployed) == before


def test_bench_at_a_rate_saves_its_samples(deployed: Desk) -> None:
    words = ("--rate", "100", "-n", "20", "--no-single", "--save", "s.csv")
    result = deployed.json("bench", "allocation.yaml", *words)
    (run,) = result["runs"]
    assert (run["counts"]["sent"], run["counts"]["lost"]) == (20, 0)
    assert (run["slip"], run["slip_limit"], run["void"]) == (0, 0.05, "")
    assert result["gain"] is None
    with (deployed.folder / "s.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 20


def test_a_device_is_killed_beside_a_control(deployed: Desk) -> None:
    words = ("-n", "15", "--rate", "40", "--control")
    verdict = deployed.json("fail-node", "allocation.yaml", COVERED, *words)
    assert verdict["passed"]
    assert verdict["restored"]
    assert verdict["control_p99_ratio"] > 0


def test_a_device_is_frozen(deployed: Desk) -> None:
    told = deployed.told("fail-node", "allocation.yaml", COVERED, "-n", "25", "--freeze")
    assert "0 lost, 0 wrong" in told
    assert "recovered: parity completed the answer" in told


def test_a_device_that_is_not_covered_is_only_harmed_by_force(deployed: Desk) -> None:
    before = _pids(deployed)
    refused(deployed.run("fail-node", "allocation.yaml", EXPOSED), 2, EXPOSED, "force")
    assert _pids(deployed) == before
    words = ("-n", "60", "--rate", "40", "--force", "--json")
    forced = deployed.run("fail-node", "allocation.yaml", EXPOSED, *words)
    assert forced.returncode == 1, forced.stderr
    assert strict_json(forced.stdout)["total"]["lost"] > 0
    deployed.done("status", "allocation.yaml", "--timeout", "30")


def test_an_unknown_device_is_refused_with_those_there_are(deployed: Desk) -> None:
    refused(deployed.run("fail-node", "allocation.yaml", "pi9"), 2, "'pi9'", "pi1, pi2")


def test_a_file_changed_since_is_not_measured(deployed: Desk) -> None:
    path = deployed.folder / "allocation.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}# changed\n", encoding="utf-8")
    try:
        refused(deployed.run("bench", "allocation.yaml"), 1, "allocation.yaml", "deploy it again")
        assert deployed.json("infer", "allocation.yaml", "-i", "x.npy")["outputs"]
    finally:
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("place", ["gone/y.npz", ".", "x.npy/y.npz"])
def test_a_place_that_cant_be_written_is_refused_before_any_work(
    deployed: Desk, place: str
) -> None:
    before = contents(deployed.folder / "home")
    done = deployed.run("infer", "allocation.yaml", "-i", "x.npy", "-o", place)
    refused(done, 2, str(Path(place)))
    assert contents(deployed.folder / "home").keys() == before.keys()


def test_down_stops_the_executors_and_may_be_said_twice(deployed: Desk) -> None:
    assert "would stop pi1" in deployed.told("down", "allocation.yaml", "--dry-run")
    assert deployed.executors()
    deployed.done("down", "allocation.yaml")
    assert deployed.executors() == []
    deployed.done("down", "allocation.yaml")
    refused(deployed.run("infer", "allocation.yaml", "-i", "x.npy"), 1, "unreachable", "deploy")
    deployed.done("down", "allocation.yaml", "--purge")
    assert not list((deployed.folder / "home").rglob("*.weights"))
    refused(deployed.run("status", "allocation.yaml"), 1, "not deployed", "edgesplit deploy")


def _run_file(desk: Desk, device: str) -> dict[str, dict[str, int]]:
    slots = desk.home / "small" / device / "slots"
    record = json.loads((desk.folder / "allocation.deployed.json").read_text(encoding="utf-8"))
    path = slots / str(record["epoch"] % 2) / "state.json"
    state: dict[str, dict[str, int]] = json.loads(path.read_text(encoding="utf-8"))
    return state


def _pids(desk: Desk) -> set[int]:
    return set(desk.executors())


def _await_end(pid: int) -> None:
    """Wait for a process that is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([handle], [], [], 30)
    os.close(handle)
