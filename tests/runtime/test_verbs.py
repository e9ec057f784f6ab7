"""The verbs of a device as real processes, with real executors of a table without a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from device_folder import PATIENCE, DeviceFolder
from relays import until

from edgesplit.deploy.code import device_code
from edgesplit.runtime.processes import Process
from edgesplit.runtime.root import boot_id

SLOT_KEYS = {
    "release",
    "epoch",
    "supervised",
    "running",
    "status",
    "held",
    "supervisor",
    "executor",
    "restarts",
    "last_exit",
}


@pytest.fixture
def device(tmp_path: Path) -> Iterator[DeviceFolder]:
    device = DeviceFolder.made(tmp_path / "root")
    yield device
    device.stop()


def serves(device: DeviceFolder, epoch: int) -> None:
    until(lambda: f"serves epoch {epoch}" in device.log(epoch % 2))


def slot(device: DeviceFolder, number: int) -> dict[str, Any]:
    found: dict[str, Any] = device.call("state")["slots"][str(number)]
    return found


def executor(device: DeviceFolder, number: int) -> Process:
    return Process(**slot(device, number)["executor"])


def test_an_empty_folder_has_a_state(device: DeviceFolder) -> None:
    state = device.call("state")
    assert set(state) == {"current", "epoch", "lock", "slots", "unit"}
    assert (state["current"], state["epoch"], state["lock"], state["unit"]) == (
        None,
        0,
        None,
        False,
    )
    assert set(state["slots"]) == {"0", "1"}
    assert set(state["slots"]["0"]) == SLOT_KEYS


def test_neighbouring_epochs_run_beside_each_other(device: DeviceFolder) -> None:
    old, new = device.staged(1), device.staged(2)
    for digest in (old, new):
        assert device.call("start", digest)["running"]
    serves(device, 1)
    serves(device, 2)
    assert device.call("commit", old) == {"before": None}
    assert device.call("commit", new) == {"before": old}
    state = device.call("state")
    assert (state["current"], state["epoch"]) == (new, 2)
    assert [state["slots"][n]["release"] for n in "01"] == [new, old]
    assert [state["slots"][n]["epoch"] for n in "01"] == [2, 1]
    after = device.call("stop", "1")
    assert [after["slots"][n]["running"] for n in "01"] == [True, False]
    assert device.call("retire") == {}
    state = device.call("state")
    assert (state["current"], state["epoch"]) == (None, 2)
    assert not state["slots"]["0"]["supervised"]


def test_starting_what_runs_changes_nothing(device: DeviceFolder) -> None:
    digest = device.staged(1)
    first = device.call("start", digest)
    assert device.call("start", digest, order={"unit": None}) == first


def test_an_orphan_in_the_slot_makes_room(device: DeviceFolder) -> None:
    orphan, wanted = device.staged(1), device.staged(3)
    first = Process(**device.call("start", orphan)["supervisor"])
    answer = device.call("start", wanted)
    assert not first.alive
    assert (answer["release"], answer["running"]) == (wanted, True)
    serves(device, 3)


def test_a_release_that_is_not_whole_is_not_started(device: DeviceFolder) -> None:
    orphan = device.staged(1)
    device.call("start", orphan)
    blob = device.put(b"gone", "onnx")
    wanted = device.staged(3, blob)
    (device.root.blobs / blob).unlink()
    assert blob[:20] in device.refused("start", wanted)
    assert slot(device, 1)["running"]
    assert slot(device, 1)["release"] == orphan


def test_an_executor_without_its_key_says_so_and_is_not_tried_again(device: DeviceFolder) -> None:
    digest = device.staged(1, key="K" * 40)
    device.call("start", digest)
    until(lambda: not slot(device, 1)["supervised"])
    found = slot(device, 1)
    assert (found["last_exit"], found["restarts"]) == (2, 0)
    assert "is gone" in device.call("log", "5", "--slot", "1")["lines"][0]


def test_a_device_that_lacks_its_python_says_so(device: DeviceFolder) -> None:
    order = device.order(1, python="/nowhere/python")
    device.call("stage", order=order.plain)
    assert "/nowhere/python" in device.refused("start", order.digest)
    assert not slot(device, 1)["supervised"]


def test_faults_are_for_the_current_release_by_default(device: DeviceFolder) -> None:
    old, new = device.staged(1), device.staged(2)
    device.call("start", old)
    device.call("start", new)
    assert "no release is active" in device.refused("pause")
    device.call("commit", new)
    ours, other = executor(device, 0), executor(device, 1)
    assert device.call("kill", "held") == {"pid": ours.pid, "signal": "SIGKILL"}
    until(lambda: slot(device, 0)["status"] == "held")
    assert other.alive
    assert device.call("start", new)["held"] is False
    until(lambda: slot(device, 0)["running"])
    assert device.call("pause", "--slot", "1")["pid"] == other.pid
    until(lambda: "T (stopped)" in Path(f"/proc/{other.pid}/status").read_text())
    assert device.call("resume", "--slot", "1")["pid"] == other.pid
    assert device.call("hold") == {"held": True}
    assert slot(device, 0)["held"]
    assert device.call("release") == {"held": False}


def test_a_supervisor_is_not_hurt_by_a_start_that_was_cut_off(device: DeviceFolder) -> None:
    digest = device.staged(1)
    with subprocess.Popen(
        device.argv("start", digest), stdin=subprocess.DEVNULL, env=device.env()
    ) as verb:
        until((device.root.slot(1).folder / "lock").exists)
        verb.kill()
    until(lambda: slot(device, 1)["running"])
    serves(device, 1)
    assert slot(device, 1)["supervised"]


def test_executors_are_told_to_be_frugal_and_nothing_of_a_service_manager(
    device: DeviceFolder, tmp_path: Path
) -> None:
    told = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "1000000"}
    device = DeviceFolder(device.root, told)
    device.call("start", device.staged(1))
    serves(device, 1)
    raw = Path(f"/proc/{executor(device, 1).pid}/environ").read_bytes().decode()
    environment = dict(entry.split("=", 1) for entry in raw.split("\0") if entry)
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["MALLOC_ARENA_MAX"] == "2"
    assert not environment.keys() & told.keys()


def booted(device: DeviceFolder, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(device.argv("boot", *options), env=device.env())


def reboot(device: DeviceFolder) -> None:
    """Leave things as a power cut does: nothing runs, and what ran was of another boot."""
    for place in device.root.slots:
        if (supervisor := slot(device, place.number)["supervisor"]) is not None:
            Process(**supervisor).send(signal.SIGKILL)
            Process(**supervisor).wait(PATIENCE)
        if place.boot.exists():
            place.boot.write_text("another boot")


@pytest.mark.parametrize("options", [(), ("--slot", "0"), ("--slot", "1")])
def test_a_boot_starts_what_is_current_and_no_candidate(
    device: DeviceFolder, options: tuple[str, ...]
) -> None:
    """Whichever slot's unit was enabled when the power went."""
    current, candidate = device.staged(1), device.staged(2)
    device.call("start", current)
    device.call("commit", current)
    device.call("start", candidate)
    reboot(device)
    with booted(device, *options) as supervisor:
        until(lambda: slot(device, 1)["running"])
        assert slot(device, 1)["supervisor"]["pid"] == supervisor.pid
        assert not slot(device, 0)["supervised"]
        assert not slot(device, 0)["running"]
        device.call("stop")
        assert supervisor.wait(PATIENCE) == 0


def test_a_candidates_supervisor_that_died_comes_back_as_a_candidates(device: DeviceFolder) -> None:
    current, candidate = device.staged(1), device.staged(2)
    device.call("commit", current)
    device.call("start", candidate)
    supervisor = Process(**slot(device, 0)["supervisor"])
    supervisor.send(signal.SIGKILL)
    assert supervisor.wait(PATIENCE)
    with booted(device, "--slot", "0") as again:
        until(lambda: slot(device, 0)["running"])
        assert slot(device, 0)["release"] == candidate
        again.terminate()


def test_a_boot_after_a_flip_that_was_not_followed_up_starts_the_new_release(
    device: DeviceFolder,
) -> None:
    """Committed, never started: then the power went."""
    old, new = device.staged(1), device.staged(2)
    device.call("start", old)
    device.call("commit", old)
    device.call("commit", new)
    reboot(device)
    with booted(device, "--slot", "1") as supervisor:
        until(lambda: slot(device, 0)["running"])
        assert slot(device, 0)["release"] == new
        supervisor.terminate()


def test_a_boot_of_nothing_ends_well(device: DeviceFolder) -> None:
    with booted(device) as process:
        assert process.wait(PATIENCE) == 0


def test_a_slot_remembers_the_boot_that_asked_for_it(device: DeviceFolder) -> None:
    device.call("start", device.staged(1))
    assert device.root.slot(1).boot.read_text() == boot_id()
    device.call("stop")
    assert not device.root.slot(1).boot.exists()


def test_a_release_is_described_for_its_return(device: DeviceFolder) -> None:
    order = device.order(1, before="")
    device.call("stage", order=order.plain)
    answer = device.call("describe", order.digest)
    assert answer == json.loads(json.dumps(order.plain))


def test_keys_rotate_on_demand(device: DeviceFolder) -> None:
    first = device.call("keygen")
    assert device.call("keygen") == first
    second = device.call("keygen", "rotate")
    assert second != first
    assert device.call("keygen") == second


def test_verify_tells_the_bad_ones(device: DeviceFolder) -> None:
    good = device.put(b"good", "onnx")
    bad = good.replace(good[:4], "0000", 1)
    assert device.call("verify", order={"names": [good, bad]}) == {"bad": [bad]}


def test_purging_stops_and_deletes_everything(device: DeviceFolder) -> None:
    device.call("start", device.staged(1))
    process = executor(device, 1)
    assert device.call("purge") == {}
    assert not process.alive
    assert not device.root.folder.exists()


def test_a_folder_of_others_is_not_touched(device: DeviceFolder) -> None:
    device.root.mark.unlink()
    (device.root.folder / "current").write_text("mine")
    assert device.call("purge") == {}
    assert (device.root.folder / "current").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("state",),
        ("dance", "/x"),
        ("log", "/x", "5", "--slot", "7"),
        ("log", "/x", "some", "--slot", "1"),
        ("commit", "/"),
        ("commit", "/nowhere", "ab"),
    ],
)
def test_misuse_is_refused_without_a_trace_of_python(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgesplit.runtime", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert not done.stdout
    assert b"Traceback" not in done.stderr


def test_looking_needs_no_numpy_no_onnxruntime_and_no_zmq(device: DeviceFolder) -> None:
    program = (
        "import sys; from edgesplit.runtime.__main__ import main; "
        "main(sys.argv[1:]); print(sorted({'numpy', 'onnxruntime', 'zmq'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "state", str(device.root.folder)],
        env={**os.environ, "PYTHONPATH": str(device.root.blobs / device_code().name)},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines()[-1] == "[]"
