from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from relays import KEYS, Unconvinced, local_cluster, relay_release, until, witness

from edgesplit.deploy import lock
from edgesplit.deploy.changeover import Deployed
from edgesplit.deploy.crew import open_crew
from edgesplit.deploy.deployer import Wish, deploy, down
from edgesplit.deploy.fleet import Fleet, open_fleet
from edgesplit.deploy.preview import Preview, preview
from edgesplit.deploy.programs import Release
from edgesplit.deploy.record import load_record
from edgesplit.deploy.station import Station
from edgesplit.deploy.steps import STEPS, Step
from edgesplit.deploy.witness import Witness
from edgesplit.errors import DeployError, EdgesplitError, HostError
from edgesplit.runtime.release import current
from edgesplit.runtime.root import Root
from edgesplit.spec.cluster import Cluster

NAMES = ("d1", "d2")


class Bench:
    """A cluster on this machine with one release and a place for the record."""

    def __init__(self, folder: Path) -> None:
        self.cluster = local_cluster(folder / "devices", NAMES)
        self.release = relay_release(folder / "store", NAMES)
        self.record = folder / "allocation.deployed.json"
        self.steps: list[Step] = []

    def deploy(
        self, release: Release | None = None, seen: Witness | None = None, **changes: Cluster
    ) -> Deployed:
        self.steps.clear()
        return deploy(
            self.wish(release, **changes),
            self.record,
            witness=seen or witness(),
            progress=self.steps.append,
        )

    def preview(self) -> Preview:
        return preview(self.wish(), self.record)

    def wish(self, release: Release | None = None, cluster: Cluster | None = None) -> Wish:
        return Wish(release or self.release, cluster or self.cluster, KEYS.public)

    def other(self, folder: Path) -> Release:
        """Return a release of the same dataflow with other blobs."""
        return relay_release(folder / "store", NAMES, seed=b"2")

    def root(self, name: str) -> Root:
        return Root(Path(self.cluster.device(name).root or ""))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    down(bench.cluster, NAMES)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One deployment for the tests that leave it as it was."""
    bench = Bench(tmp_path_factory.mktemp("shared"))
    bench.deploy()
    yield bench
    down(bench.cluster, NAMES)


@contextmanager
def occupied(cluster: Cluster, name: str) -> Iterator[None]:
    """Hold a device's port, so that its first executor can't come up."""
    device = cluster.device(name)
    with socket.create_server((device.address, device.port + 1)):
        yield


def pids(fleet: Fleet) -> dict[str, int | None]:
    states, failures = fleet.states()
    assert not failures
    return {name: state.pid for name, state in states.items()}


def test_a_deployment_runs_and_its_record_says_how_to_reach_it(shared: Bench) -> None:
    record = load_record(shared.record)
    assert (record.epoch, record.devices) == (1, shared.cluster)
    for name in NAMES:
        device = shared.cluster.device(name)
        port = device.port + 1
        with socket.create_connection((device.address, port)):
            assert record.peers[name].endpoint == f"tcp://{device.address}:{port}"
        (secret,) = shared.root(name).keys.glob("*.secret")
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert secret.read_text() not in shared.record.read_text()


def test_the_steps_of_a_first_deployment_come_in_order(bench: Bench) -> None:
    done = bench.deploy()
    names = list(dict.fromkeys(step.name for step in bench.steps))
    assert names == [name for name in STEPS if name != "retire"]
    assert (done.mode, done.changed) == ("first", frozenset(NAMES))
    assert done.pushed == sum(len(_content(b)) for n in NAMES for b in _blobs(bench, n))


def _blobs(bench: Bench, name: str) -> list[Path | bytes]:
    return list(bench.release.blobs(name).values())


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def test_a_device_receives_its_own_blobs_only(shared: Bench) -> None:
    for name, other in zip(NAMES, reversed(NAMES), strict=True):
        there = {path.name for path in shared.root(name).blobs.iterdir()}
        assert set(shared.release.blobs(name)) <= there
        assert not (set(shared.release.blobs(other)) - set(shared.release.blobs(name))) & there


def test_deploying_the_same_again_moves_and_restarts_nothing(shared: Bench) -> None:
    first = load_record(shared.record)
    with open_fleet(shared.cluster, first) as fleet:
        before = pids(fleet)
        again = shared.deploy()
        assert (again.record, again.mode, again.pushed) == (first, "unchanged", 0)
        assert pids(fleet) == before
    assert {step.name for step in shared.steps} == {"probe"}


def test_after_down_the_same_release_starts_in_the_same_epoch(bench: Bench) -> None:
    first = bench.deploy().record
    down(bench.cluster, NAMES)
    with open_fleet(bench.cluster, first) as fleet:
        assert pids(fleet) == {"d1": None, "d2": None}
        again = bench.deploy()
        assert (again.record, again.mode, again.pushed) == (first, "first", 0)
        assert None not in pids(fleet).values()


def test_a_device_that_was_stopped_alone_is_started_alone(bench: Bench) -> None:
    first = bench.deploy().record
    with open_fleet(bench.cluster, first) as fleet:
        before = pids(fleet)
        down(bench.cluster, ("d2",))
        again = bench.deploy()
        assert (again.record, again.mode, again.changed) == (first, "unchanged", frozenset({"d2"}))
        assert pids(fleet)["d1"] == before["d1"]
        assert pids(fleet)["d2"] not in (None, before["d2"])


def test_another_release_opens_the_next_epoch_with_the_same_keys(
    bench: Bench, tmp_path: Path
) -> None:
    first = bench.deploy().record
    done = bench.deploy(bench.other(tmp_path))
    second = done.record
    assert (second.cluster, second.epoch, done.mode) == (first.cluster, 2, "rolled")
    assert {n: p.public for n, p in second.peers.items()} == {
        n: p.public for n, p in first.peers.items()
    }
    assert second.programs != first.programs
    for name in NAMES:
        device = bench.cluster.device(name)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((device.address, device.port + 1))


def test_a_flipped_byte_on_the_device_is_found_and_mended(bench: Bench) -> None:
    first = bench.deploy().record
    down(bench.cluster, NAMES)
    source = bench.release.files[1][0]
    blob = bench.root("d1").blobs / source.name
    damaged = bytearray(source.read_bytes())
    damaged[1000] ^= 1
    blob.unlink()
    blob.write_bytes(damaged)
    assert bench.deploy().record == first
    assert blob.read_bytes() == source.read_bytes()


def test_an_executor_that_does_not_come_up_is_named_with_its_log(bench: Bench) -> None:
    with occupied(bench.cluster, "d2"), pytest.raises(DeployError) as caught:
        bench.deploy()
    assert caught.value.where == "d2"
    assert "can't listen on" in str(caught.value)
    assert not bench.record.exists()
    for name in NAMES:
        assert current(bench.root(name)) is None


@pytest.mark.parametrize("failure", [DeployError("no answer in time"), KeyboardInterrupt()])
def test_what_fails_or_is_interrupted_leaves_running_what_ran(
    bench: Bench, tmp_path: Path, failure: BaseException
) -> None:
    first = bench.deploy().record
    with open_fleet(bench.cluster, first) as fleet:
        before = pids(fleet)
        with pytest.raises(type(failure)):
            bench.deploy(bench.other(tmp_path), Unconvinced(failure))
        assert load_record(bench.record) == first
        assert pids(fleet) == before
    witness().ready(first, lambda: None)
    for name in NAMES:
        device = bench.cluster.device(name)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((device.address, device.port))


def test_a_first_deployment_that_fails_leaves_nothing_running(bench: Bench) -> None:
    with pytest.raises(DeployError):
        bench.deploy(seen=Unconvinced())
    for name in NAMES:
        device = bench.cluster.device(name)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((device.address, device.port + 1))


def test_nothing_is_started_unless_every_device_was_staged(bench: Bench, tmp_path: Path) -> None:
    first = bench.deploy().record
    before = {name: current(bench.root(name)) for name in NAMES}
    broken = bench.other(tmp_path)
    broken.files[2][0].write_bytes(b"not what its name says")
    with pytest.raises(HostError, match="damaged there after a second upload") as caught:
        bench.deploy(broken)
    assert caught.value.where == "d2"
    assert {name: current(bench.root(name)) for name in NAMES} == before
    assert "start" not in {step.name for step in bench.steps}
    assert load_record(bench.record) == first


def test_all_failing_devices_are_named(bench: Bench) -> None:
    devices = [replace(d, python="/nowhere/python3") for d in bench.cluster.devices]
    with pytest.raises(EdgesplitError) as caught:
        bench.deploy(cluster=replace(bench.cluster, devices=tuple(devices)))
    text = str(caught.value)
    assert "2 of 2 devices failed" in text
    assert "d1: there is no Python at `/nowhere/python3`" in text
    assert "d2: there is no Python" in text


def test_a_python_without_the_modules_is_refused_before_any_change(bench: Bench) -> None:
    wrapper = bench.record.with_name("bare-python")
    wrapper.write_text(f'#!/bin/sh\nexec "{bench.cluster.devices[0].python}" -I -S "$@"\n')
    wrapper.chmod(0o755)
    devices = [replace(d, python=str(wrapper)) for d in bench.cluster.devices]
    with pytest.raises(DeployError, match="lacks numpy, onnxruntime, zmq"):
        bench.deploy(cluster=replace(bench.cluster, devices=tuple(devices)))
    assert not bench.root("d1").folder.exists()


def test_a_folder_with_other_files_is_never_taken(bench: Bench) -> None:
    folder = bench.root("d1").folder
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    with pytest.raises(HostError, match="holds other files") as caught:
        bench.deploy()
    assert caught.value.where == "d1"
    down(bench.cluster, NAMES, purge=True)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_preview_changes_nothing_and_counts_bytes(bench: Bench, tmp_path: Path) -> None:
    first = bench.preview()
    assert [sum(change.push.values()) > 100_000 for change in first.changes] == [True, True]
    assert ([c.action for c in first.changes], first.mode) == (["add", "add"], "first")
    assert not bench.root("d1").folder.exists()
    bench.deploy()
    again = bench.preview()
    assert [(dict(c.push), c.action) for c in again.changes] == [({}, "keep")] * 2
    assert [sum(c.keep.values()) for c in again.changes] == [
        sum(c.push.values()) for c in first.changes
    ]
    assert again.mode == "unchanged"
    other = preview(bench.wish(bench.other(tmp_path)), bench.record)
    assert ([c.action for c in other.changes], other.mode) == (["change"] * 2, "rolled")


def test_kill_stays_dead_and_restore_revives(shared: Bench) -> None:
    record = load_record(shared.record)
    with open_fleet(shared.cluster, record) as fleet:
        first = fleet.state("d1").pid
        assert fleet.kill("d1") == first
        until(lambda: fleet.state("d1").status == "held")
        assert fleet.state("d2").running
        fleet.restore("d1")
        until(lambda: fleet.state("d1").running)
        assert fleet.state("d1").pid != first
        assert any("serves epoch" in line for line in fleet.log("d1"))


def test_pause_freezes_and_restore_continues_the_same_process(shared: Bench) -> None:
    record = load_record(shared.record)
    with open_fleet(shared.cluster, record) as fleet:
        pid = fleet.pause("d2")
        until(lambda: process_state(pid) == "T")
        assert fleet.restore("d2").pid == pid
        until(lambda: process_state(pid) in "SR")


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_purge_removes_the_folder(bench: Bench) -> None:
    bench.deploy()
    down(bench.cluster, NAMES, purge=True)
    assert not bench.root("d1").folder.exists()
    assert bench.release.files[1][0].exists()


def test_a_lease_is_renewed_while_somebody_works(
    shared: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LEASE", 2.0)
    monkeypatch.setattr(lock, "_RENEWAL", 0.2)

    def holder(station: Station) -> dict[str, Any] | None:
        held: dict[str, Any] | None = station.call("state")["lock"]
        return held

    with open_crew(shared.cluster.devices, shared.cluster.name) as crew:
        with lock.locked(crew, shared.steps.append):
            until(lambda: all(one and one["age"] > 3.0 for one in crew.each(holder).values()))
        assert set(crew.each(holder).values()) == {None}


def test_who_lost_the_lock_changes_nothing_more(shared: Bench) -> None:
    order = {"owner": "eve", "token": "t", "seconds": 60.0, "process": {}, "steal": True}
    with open_crew(shared.cluster.devices, shared.cluster.name) as crew:
        with lock.locked(crew, shared.steps.append):
            for station in crew.stations.values():
                station.call("lock", order={**order, "stolen": station.token})
            with pytest.raises(DeployError, match="the lock was lost to eve"):
                crew.each(lambda station: station.call("stop"))
        for station in crew.stations.values():
            assert station.call("state")["lock"]["owner"] == "eve"
            station.call("unlock", "--token", "t")
    with open_fleet(shared.cluster, load_record(shared.record)) as fleet:
        assert None not in pids(fleet).values()


def test_nobody_is_taken_down_while_somebody_works(shared: Bench) -> None:
    with (
        open_crew(shared.cluster.devices, shared.cluster.name) as crew,
        lock.locked(crew, shared.steps.append),
        pytest.raises(DeployError, match="has been changing this cluster"),
    ):
        down(shared.cluster, NAMES)
    with open_fleet(shared.cluster, load_record(shared.record)) as fleet:
        assert None not in pids(fleet).values()


def test_a_record_that_was_lost_is_found_on_the_devices(bench: Bench) -> None:
    first = bench.deploy().record
    bench.record.write_text(json.dumps({"format": 1}))
    again = bench.deploy()
    assert (again.record, again.mode) == (first, "unchanged")
    assert load_record(bench.record) == first


def test_another_allocation_on_the_same_devices_is_another_cluster(
    bench: Bench, tmp_path: Path
) -> None:
    first = bench.deploy().record
    bench.record.unlink()
    done = bench.deploy(replace(bench.other(tmp_path), allocation="1" * 64))
    assert done.record.cluster != first.cluster
    assert (done.record.epoch, done.mode) == (2, "rolled")
