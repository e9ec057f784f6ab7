from __future__ import annotations

import io
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from relays import local_device, relay_release

from edgesplit.dataflow.table import Task
from edgesplit.deploy.code import device_code
from edgesplit.deploy.keys import gateway_keys, local_root
from edgesplit.deploy.programs import Generation, neighbours, programs
from edgesplit.runtime.known import Known
from edgesplit.runtime.program import SLOTS, Program
from edgesplit.spec.cluster import Cluster, Link
from edgesplit.spec.cluster_file import PORTS

NAMES = ("d1", "d2", "d3")
PUBLICS = {name: name * 20 for name in NAMES}


def make(folder: Path, **changes: object) -> Cluster:
    devices = [
        local_device(name, folder / name, port=5000 + 11 * i, address=f"192.168.0.{i}")
        for i, name in enumerate(NAMES)
    ]
    devices[0] = replace(devices[0], **changes)  # type: ignore[arg-type]
    return Cluster("c", tuple(devices), Link(1.0, 1.0))


def test_peers_are_those_a_device_exchanges_flows_with(tmp_path: Path) -> None:
    release = relay_release(tmp_path, NAMES)
    made = programs(release, make(tmp_path), Generation("c", 3, ("g",), PUBLICS))
    assert {name: set(program.peers) for name, program in made.items()} == {
        "d1": {"d2"},
        "d2": {"d1", "d3"},
        "d3": {"d2"},
    }
    assert made["d1"].peers["d2"].endpoint == "tcp://192.168.0.1:5012"
    assert made["d2"].peers["d1"].public == PUBLICS["d1"]
    assert neighbours(release.table, "d3") == {"d2"}


def test_tasks_of_different_shards_with_the_same_weights_are_alike(tmp_path: Path) -> None:
    release = relay_release(tmp_path, NAMES)
    own = release.table.tasks_of("d1")[0]
    again, other = replace(own, id=50, shard="again"), replace(own, id=51, shard="other")
    same, equal = tmp_path / "same.weights", replace(own, id=52)
    weights = {own.id: same, 50: same, 51: tmp_path / "other.weights", 52: same}
    files = {task: (tmp_path / "a.onnx", path) for task, path in weights.items()}

    def alike(*tasks: Task) -> tuple[int, ...]:
        table = replace(release.table, tasks=tasks)
        made = replace(release, table=table, files=files)
        return programs(made, make(tmp_path), Generation("c", 3, ("g",), PUBLICS))["d1"].alike

    assert alike(own, again, other) == (own.id, 50)
    assert alike(own, equal, other) == ()


@pytest.mark.parametrize(
    ("address", "bind"),
    [
        ("127.0.0.7", "tcp://127.0.0.7:5001"),
        ("192.168.0.1", "tcp://*:5001"),
        ("pi.local", "tcp://*:5001"),
    ],
)
def test_loopback_is_bound_alone(tmp_path: Path, address: str, bind: str) -> None:
    cluster = make(tmp_path, address=address)
    generation = Generation("c", 1, (), PUBLICS)
    assert programs(relay_release(tmp_path, NAMES), cluster, generation)["d1"].bind == bind


@pytest.mark.parametrize(("pace", "threads"), [(None, 3), (1.5, 1), ("raspberry-pi-3b", 1)])
def test_a_paced_device_computes_on_one_thread(
    tmp_path: Path, pace: float | str | None, threads: int
) -> None:
    cluster = make(tmp_path, cores=3, pace=pace)
    release = replace(relay_release(tmp_path, NAMES), pace={1: 0.5, 2: 0.7}, predicted={1: 0.1})
    program = programs(release, cluster, Generation("c", 1, (), PUBLICS))["d1"]
    assert (program.threads, program.pace, program.predicted) == (threads, {1: 0.5}, {1: 0.1})


def test_a_program_has_its_own_key_and_its_own_tasks_answers(tmp_path: Path) -> None:
    known: dict[int, tuple[Known, ...]] = {
        task: ({"scale": float(task), "samples": [0.5]},) for task in (1, 2, 3)
    }
    release = replace(relay_release(tmp_path, NAMES), answers=known)
    program = programs(release, make(tmp_path), Generation("c", 1, (), PUBLICS))["d2"]
    assert (program.key, program.answers) == (PUBLICS["d2"], {2: known[2]})
    assert Program.from_json(program.to_json()) == program


def test_epochs_that_follow_each_other_take_turns_on_a_devices_ports(tmp_path: Path) -> None:
    cluster, release = make(tmp_path), relay_release(tmp_path, NAMES)
    binds = [
        programs(release, cluster, Generation("c", epoch, (), PUBLICS))["d1"].bind
        for epoch in (1, 2, 3, 4)
    ]
    assert [int(bind.rpartition(":")[2]) for bind in binds] == [5001, 5000, 5001, 5000]
    assert PORTS == SLOTS


def test_the_device_code_is_the_same_every_time_and_complete() -> None:
    code = device_code()
    assert code.digest == device_code().digest
    names = zipfile.ZipFile(io.BytesIO(code.content)).namelist()
    assert {"edgesplit/__init__.py", "edgesplit/errors.py"} <= set(names)
    assert "edgesplit/runtime/__main__.py" in names
    packages = {name.split("/")[1] for name in names if name.count("/") == 2}
    assert packages == {"runtime", "dataflow"}


def test_the_gateway_key_is_made_once_and_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESPLIT_HOME", str(tmp_path))
    keys = gateway_keys()
    assert gateway_keys() == keys
    assert keys.secret.decode() not in repr(keys)
    assert stat.S_IMODE((tmp_path / "gateway.secret").stat().st_mode) == 0o600
    assert local_root("c", "d") == tmp_path / "c" / "d"


def test_deploying_locally_imports_no_ssh() -> None:
    check = "import sys, edgesplit.deploy.deployer; sys.exit('paramiko' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
