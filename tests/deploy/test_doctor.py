from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from command_line import Desk, contents
from relays import KEYS, LINK, local_cluster, local_device, relay_release, witness
from sshd_bed import SshdBed, SshdHost, free_port, make_key, sshd_bed

from edgesplit.deploy.crew import open_crew
from edgesplit.deploy.deployer import Wish, deploy, down
from edgesplit.deploy.findings import Finding, Level
from edgesplit.deploy.preflight import Checkup, examine_cluster
from edgesplit.deploy.probe import Probe
from edgesplit.errors import DeployError, HostError
from edgesplit.spec.cluster import Cluster, Device
from edgesplit.spec.cluster_file import cluster_to_plain

KILLED = """#!/bin/sh
# Dies as a program does that was built for another processor.
{when} && kill -ILL $$
exec {python} "$@"
"""


def checkups(*devices: Device) -> dict[str, Checkup]:
    """Look at a cluster of these devices."""
    return {one.device: one for one in examine_cluster(Cluster("doctored", devices, LINK))}


def refusals(one: Checkup) -> list[str]:
    return [finding.check for finding in one.at(Level.REFUSAL)]


def check(one: Checkup, name: str) -> Finding:
    (found,) = (finding for finding in one.findings if finding.check == name)
    return found


def look(one: Checkup) -> Probe:
    assert one.seen is not None
    return one.seen


def killed_by(folder: Path, when: str) -> str:
    """Write an interpreter that dies of an illegal instruction when this holds."""
    path = folder / "python"
    path.write_text(KILLED.format(when=when, python=shlex.quote(sys.executable)))
    path.chmod(0o755)
    return str(path)


def test_a_healthy_device_is_known_and_left_alone(tmp_path: Path) -> None:
    one = checkups(local_device("d1", tmp_path / "d1"))["d1"]
    assert not refusals(one)
    seen = look(one)
    assert seen.python == sys.version_info[:2]
    assert seen.machine == os.uname().machine
    assert seen.page == os.sysconf("SC_PAGE_SIZE")
    assert abs(seen.clock.ahead) <= seen.clock.doubt + 0.01
    assert seen.modules is not None
    assert None not in seen.modules.versions.values()
    assert not (tmp_path / "d1").exists()


def test_a_folder_of_ours_remembers_that_its_python_works(tmp_path: Path) -> None:
    device = local_device("d1", tmp_path)
    (tmp_path / ".edgesplit").touch()
    first, again = (look(checkups(device)["d1"]).modules for _ in range(2))
    assert first is not None
    assert again is not None
    assert (first.remembered, again.remembered) == (False, True)
    assert again.versions == first.versions
    assert sorted(path.name for path in tmp_path.iterdir()) == [".edgesplit", "checked.json"]


def test_a_folder_of_others_is_refused_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    one = checkups(local_device("d1", tmp_path))["d1"]
    assert refusals(one) == ["folder"]
    assert contents(tmp_path) == {"thesis.tex": b"dear"}


def test_modules_in_the_folder_where_we_are_called_are_not_taken_for_python_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("platform", "numpy", "queue"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the one you look for')\n")
    monkeypatch.chdir(tmp_path)
    one = checkups(local_device("d1", tmp_path / "d1"))["d1"]
    assert not refusals(one)
    assert look(one).modules is not None


def test_another_version_that_is_deployed_is_told(tmp_path: Path) -> None:
    (tmp_path / "releases" / "r").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/r")
    (tmp_path / ".edgesplit").touch()
    (tmp_path / "current" / "manifest.json").write_text(json.dumps({"code": "0" * 64}))
    one = checkups(local_device("d1", tmp_path))["d1"]
    assert look(one).running == "0" * 64
    assert check(one, "version").level is Level.NOTE


def test_an_illegal_instruction_in_an_import_is_told_as_such(tmp_path: Path) -> None:
    # What is imported is its only word besides -c; who looks around is given others.
    python = killed_by(tmp_path, '[ "$#" = 2 ]')
    device = replace(local_device("d1", tmp_path / "root"), python=python)
    one = checkups(device)["d1"]
    assert refusals(one) == ["modules"]
    assert "SIGILL" in check(one, "modules").what
    assert "--force-reinstall" in check(one, "modules").remedy


def test_an_interpreter_that_dies_at_once_is_told_with_the_processor(tmp_path: Path) -> None:
    python = killed_by(tmp_path, "true")
    one = checkups(replace(local_device("d1", tmp_path / "root"), python=python))["d1"]
    assert refusals(one) == ["python"]
    assert "killed by SIGILL" in check(one, "python").what
    assert os.uname().machine in check(one, "python").what


def test_a_deployment_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    names = ("d1", "d2", "d3")
    whole = local_cluster(tmp_path / "devices", names)
    (tmp_path / "devices" / "d2").mkdir(parents=True)
    (tmp_path / "devices" / "d2" / "mine").touch()
    broken = [replace(d, python="/nowhere/python3") if d.name == "d3" else d for d in whole.devices]
    wish = Wish(
        relay_release(tmp_path / "store", names),
        replace(whole, devices=tuple(broken)),
        KEYS.public,
    )
    with pytest.raises(DeployError, match="2 of 3 devices failed") as caught:
        deploy(wish, tmp_path / "r.json", witness=witness())
    assert "d2: " in str(caught.value)
    assert "d3: there is no Python at `/nowhere/python3`" in str(caught.value)
    assert list(contents(tmp_path / "devices")) == ["d2/mine"]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdBed]:
    with sshd_bed(tmp_path_factory.mktemp("bed"), 2) as bed:
        yield bed


def remote(server: SshdHost, name: str, **changes: object) -> Device:
    """Return a device on a server; the changes are of its login."""
    device = server.device(name, port=1, python=sys.executable)
    return replace(device, ssh=replace(device.ssh, **changes))  # type: ignore[arg-type]


def ailing(bed: SshdBed, folder: Path) -> list[Device]:
    """Return devices each with another trouble, and one that has none."""
    server, known, empty = bed.hosts[0], folder / "known", folder / "empty"
    known.write_text(f"[{server.address}]:{server.port} {make_key(folder / 'other')}\n")
    empty.touch()
    make_key(folder / "nobody")
    devices = [
        remote(server, "down", port=free_port([server.address])),
        remote(server, "changed", known_hosts=str(known)),
        remote(server, "unknown", known_hosts=str(empty)),
        remote(server, "refused", identity=str(folder / "nobody")),
        remote(bed.hosts[1], "healthy"),
    ]
    return [replace(device, port=100 + 2 * i) for i, device in enumerate(devices)]


@pytest.mark.ssh
def test_no_trouble_of_a_device_hides_another_s(bed: SshdBed, tmp_path: Path) -> None:
    found = checkups(*ailing(bed, tmp_path))
    told = {name: one.findings[0].what for name, one in found.items()}
    assert "can't be reached" in told["down"]
    assert "has changed" in told["changed"]
    assert "is not known" in told["unknown"]
    assert "refused the login" in told["refused"]
    assert all(one.findings[0].remedy for name, one in found.items() if name != "healthy")
    assert [name for name, one in found.items() if not refusals(one)] == ["healthy"]
    assert (tmp_path / "empty").read_text() == ""
    assert look(found["healthy"]).root.startswith(str(bed.hosts[1].home))


@pytest.mark.ssh
def test_a_bare_device_is_said_to_be_given_a_python(bed: SshdBed) -> None:
    device = replace(bed.hosts[0].device("d1", port=1, python=""), python=None)
    one = checkups(device)["d1"]
    assert look(one).modules is None
    assert check(one, "modules").level is Level.NOTE


@pytest.mark.ssh
def test_an_interpreter_in_the_home_there_runs_executors(bed: SshdBed, tmp_path: Path) -> None:
    server = bed.hosts[0]
    (server.home / "py").symlink_to(sys.prefix)
    port = free_port([server.address])
    cluster = Cluster("homely", (server.device("d1", port=port, python="~/py/bin/python"),), LINK)
    wish = Wish(relay_release(tmp_path / "store", ("d1",)), cluster, KEYS.public)
    try:
        deploy(wish, tmp_path / "r.json", witness=witness())
        with open_crew(cluster.devices, cluster.name) as crew:
            assert crew.stations["d1"].call("state")["slots"]["1"]["running"]
    finally:
        down(cluster, ("d1",), purge=True)


@pytest.mark.ssh
def test_an_interpreter_that_is_killed_over_ssh_is_told(bed: SshdBed, tmp_path: Path) -> None:
    device = bed.hosts[0].device("d1", port=1, python=killed_by(tmp_path, "true"))
    one = checkups(device)["d1"]
    assert refusals(one) == ["python"]
    assert "it was killed by" in check(one, "python").what


@pytest.mark.ssh
def test_doctor_tells_everything_and_fails(bed: SshdBed, tmp_path: Path) -> None:
    desk = Desk(tmp_path, tmp_path / "cache")
    plain = cluster_to_plain(Cluster("doctored", tuple(ailing(bed, tmp_path)), LINK))
    desk.write("cluster.yaml", yaml.safe_dump(plain))
    finished = desk.run("doctor", "cluster.yaml")
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    lines = finished.stderr.splitlines()
    for name in ("down", "changed", "unknown", "refused"):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"refused: {name}: "))
        assert lines[at + 1].startswith("  try: ")
    assert "4 of 5 devices can't have a deployment" in finished.stderr
    told = json.loads(desk.run("doctor", "cluster.yaml", "--json").stdout)
    assert sorted(told["refused"]) == ["changed", "down", "refused", "unknown"]
    assert told["devices"]["down"]["seen"] is None


@pytest.mark.ssh
@pytest.mark.parametrize(("answers", "ready"), [("y\ny\n", True), ("y\nn\n", False), ("", False)])
def test_doctor_asks_about_every_unknown_key(
    bed: SshdBed, tmp_path: Path, answers: str, ready: bool
) -> None:
    known = tmp_path / "known"
    known.touch()
    asked = {"known_hosts": str(known), "host_keys": "ask"}
    devices = tuple(remote(server, f"d{i}", **asked) for i, server in enumerate(bed.hosts))
    desk = Desk(tmp_path, tmp_path / "cache")
    plain = cluster_to_plain(Cluster("doctored", devices, LINK))
    desk.write("cluster.yaml", yaml.safe_dump(plain))
    finished = desk.run("doctor", "cluster.yaml", stdin=answers)
    assert finished.returncode == (0 if ready else 1), finished.stderr
    assert finished.stderr.count("trust it?") == 2
    assert len(known.read_text().splitlines()) == answers.count("y")
    assert ("is not known" in finished.stderr) == (not ready)


def test_doctor_finds_a_healthy_cluster_ready(tmp_path: Path) -> None:
    desk = Desk(tmp_path, tmp_path / "cache")
    plain = cluster_to_plain(local_cluster(tmp_path / "devices", ("d1", "d2")))
    desk.write("cluster.yaml", yaml.safe_dump(plain))
    assert "all 2 devices can have a deployment" in desk.told("doctor", "cluster.yaml")
    told = desk.json("doctor", "cluster.yaml")
    assert told["refused"] == []
    seen = told["devices"]["d1"]["seen"]
    assert seen["memory"]["available"] > 0
    assert seen["modules"]["versions"]["onnxruntime"]
    assert not (tmp_path / "devices").exists()


@pytest.mark.ssh
def test_a_shell_that_talks_is_read_over(bed: SshdBed, tmp_path: Path) -> None:
    talks = tmp_path / "python"
    talks.write_text(f'#!/bin/sh\necho Welcome to pi1\nexec {sys.executable} "$@"\n')
    talks.chmod(0o755)
    one = checkups(bed.hosts[0].device("d1", port=1, python=str(talks)))["d1"]
    assert not refusals(one)


def test_a_silent_python_is_no_answer(tmp_path: Path) -> None:
    device = replace(local_device("d1", tmp_path / "d1"), python="true")
    one = checkups(device)["d1"]
    assert refusals(one) == ["reach"]
    assert "instead of JSON" in one.findings[0].what
    with open_crew([device], "doctored") as crew, pytest.raises(HostError):
        crew.stations["d1"].probe()
