from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from command_line import Desk, refused
from lab_bed import (
    BOARD,
    edgesplit,
    fresh_name,
    is_switched_off,
    lab,
    need,
    ssh,
    traces,
    unprivileged,
)

from edgesplit.errors import LabError, UsageError
from edgesplit.lab.bed import Level
from edgesplit.lab.boot import boot, power_off
from edgesplit.lab.down import take_down
from edgesplit.lab.enter import host_processes, in_host
from edgesplit.lab.levels import choose
from edgesplit.lab.up import Wanted, bring_up
from edgesplit.spec.cluster_file import load_cluster

LENET = """\
source: zoo:lenet5
parity: 1
deadline: 3 s
input: {size: [32, 32], channels: gray, scale: 1/255}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, tmp_path / "cache")


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A folder that nobody may write to, and get to."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.lab
@pytest.mark.parametrize("level", [Level.USER, Level.PLAIN])
def test_hosts_without_root_are_logged_in_to_and_power_cycled(tmp_path: Path, level: Level) -> None:
    with lab(tmp_path, 2, level=level) as made:
        one, other = made.hosts
        ssh(made, one, "echo kept >kept; nohup setsid sleep 600 >/dev/null 2>&1 &")
        assert ssh(made, other, "ls") == ""
        assert len(host_processes(made, one)) > len(host_processes(made, other))
        power_off(made, one)
        assert host_processes(made, one) == []
        assert is_switched_off(made, one)
        boot(made, one)
        assert ssh(made, one, "cat kept") == "kept"
        assert traces(made.name, made.folder)
    assert traces(made.name, made.folder) == set()


@pytest.mark.lab
def test_a_user_level_host_is_pi_on_a_machine_it_cannot_change(tmp_path: Path) -> None:
    with lab(tmp_path, 1, level=Level.USER) as made:
        (host,) = made.hosts
        assert ssh(made, host, "hostname; id -un; id -u; pwd") == "pi1\npi\n1000\n/home/pi"
        refusal = in_host(made, host, ["touch", "/usr/marked"], check=False)
        assert "Read-only" in refusal.stderr
        python = load_cluster(made.folder / "cluster.yaml").device("pi1").python
        assert ssh(made, host, f"{python} -c 'import onnxruntime, zmq; print(42)'") == "42"


@pytest.mark.lab
def test_without_rights_the_best_level_is_chosen_and_its_lacks_are_told(anyones: Path) -> None:
    need(Level.USER)
    name = fresh_name()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            unprivileged(*edgesplit("lab", *words)),
            cwd=anyones,
            env={"PATH": os.environ["PATH"], "HOME": str(anyones)},
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        told = run("up", "--devices", "2", "--name", name).stderr
        assert "level user: no CPU and memory limits" in told
        assert "for level root: you aren't root; run it with sudo" in told
        assert "edgesplit lab exec -- edgesplit deploy" in told
        inside = run("exec", "--", "ssh", "-F", "lab/ssh_config", "pi2", "hostname")
        assert inside.stdout == "pi2\n", inside.stderr
        assert run("exec", "pi1", "--", "id", "-un").stdout == "pi\n"
        assert json.loads(run("status", "--json").stdout)["hosts"]["pi1"]["on"] is True
    finally:
        gone = run("down")
    assert gone.returncode == 0, gone.stderr
    assert traces(name, anyones / "lab") == set()


def test_without_namespaces_there_are_plain_hosts_that_lenet_is_planned_for(desk: Desk) -> None:
    need(Level.PLAIN)
    name = fresh_name()
    try:
        made = desk.json("lab", "up", "--devices", "4", "--level", "plain", "--name", name)
        assert made["level"] == "plain"
        cluster = load_cluster(Path(made["cluster"]))
        assert [device.profile for device in cluster.devices] == [BOARD] * 4
        model = desk.write("model.yaml", LENET)
        assert "plain" not in desk.told("plan", made["cluster"], model)
        assert json.loads((desk.folder / "lab/lab.json").read_text())["name"] == name
        assert desk.done("lab", "exec", "pi3", "--", "sh", "-c", "basename $PWD") == "pi\n"
        refused(desk.run("lab", "exec", "pi9", "--", "ls"), 1, "no host 'pi9'")
        refused(desk.run("lab", "exec", "pi3"), 2, "no command")
    finally:
        desk.run("lab", "down")
    assert traces(name, desk.folder / "lab") == set()
    assert "there is no lab" in desk.told("lab", "down")


def test_what_a_level_cannot_do_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    need(Level.PLAIN)
    for options in ({"radio": True}, {"loss": 0.1}, {"sliced": True}):
        wanted = Wanted((BOARD,), tmp_path / "lab", fresh_name(), Level.PLAIN, **options)
        with pytest.raises(UsageError, match="more than the level plain"):
            bring_up(wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_of_its_own_is_left_alone(tmp_path: Path) -> None:
    need(Level.PLAIN)
    mine = tmp_path / "lab" / "cluster.yaml"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(LabError, match=r"has cluster\.yaml already"):
        bring_up(Wanted((BOARD,), mine.parent, fresh_name(), Level.PLAIN))
    assert mine.read_text() == "mine"


def test_the_wanted_level_is_taken_and_no_other() -> None:
    need(Level.PLAIN)
    assert choose(Level.PLAIN).level is Level.PLAIN
    assert choose(Level.PLAIN).lacks == ()


def test_a_damaged_lab_is_taken_down_by_name(tmp_path: Path) -> None:
    with lab(tmp_path, 1, level=Level.PLAIN) as made:
        (made.folder / "lab.json").write_text("{")
        assert take_down(None, made.name) == made.name
        assert traces(made.name, made.folder) == set()
