from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from relays import local_cluster, never_ready, relay_release, serving, until

from edgesplit.deploy.deployer import Step, deploy, down, preview
from edgesplit.deploy.fleet import Fleet, open_fleet
from edgesplit.deploy.programs import Release
from edgesplit.deploy.record import Record, load_record
from edgesplit.errors import DeployError, EdgesplitError, HostError
from edgesplit.runtime.release import Root, current
from edgesplit.spec.cluster import Cluster

NAMES = ("d1", "d2")
GATEWAY_KEY = "k" * 40


class Bench:
    """A cluster on this machine with one release and a place for the record."""

    def __init__(self, folder: Path) -> None:
        self.cluster = local_cluster(folder / "devices", NAMES)
        self.release = relay_release(folder / "store", NAMES)
        self.record = folder / "allocation.deployed.json"
        self.steps: list[Step] = []

    def deploy(self, release: Release | None = None) -> Record:
        ready = serving(self.cluster)
        return deploy(
            release or self.release,
            self.cluster,
            GATEWAY_KEY,
            self.record,
            ready=ready,
            progress=self.steps.append,
        )

    def pushed(self) -> int:
        """Bytes of the last deployment."""
        totals = {step.device: step.total for step in self.steps if step.name == "push"}
        self.steps.clear()
        return sum(totals.values())

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
    """Hold a device's port, so that its executor can't come up."""
    device = cluster.device(name)
    with socket.create_server((device.address, device.port)):
        yield


def pids(fleet: Fleet) -> dict[str, int | None]:
    states, failures = fleet.states()
    assert not failures
    return {name: state.pid for name, state in states.items()}


def test_a_deployment_runs_and_its_record_says_how_to_reach_it(shared: Bench) -> None:
    record = load_record(shared.record)
    assert record.epoch == 1
    for name in NAMES:
        device = shared.cluster.device(name)
        with socket.create_connection((device.address, device.port)):
            assert record.peers[name].endpoint == f"tcp://{device.address}:{device.port}"
        secret = shared.root(name).secret
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert secret.read_text() not in shared.record.read_text()


def test_a_device_receives_its_own_blobs_only(shared: Bench) -> None:
    for name, other in zip(NAMES, reversed(NAMES), strict=True):
        there = {path.name for path in shared.root(name).blobs.iterdir()}
        assert set(shared.release.blobs(name)) <= there
        assert not (set(shared.release.blobs(other)) - set(shared.release.blobs(name))) & there


def test_deploying_the_same_again_moves_and_restarts_nothing(shared: Bench) -> None:
    first = load_record(shared.record)
    shared.pushed()
    with open_fleet(shared.cluster, first) as fleet:
        before = pids(fleet)
        assert shared.deploy() == first
        assert shared.pushed() == 0
        assert pids(fleet) == before


def test_after_down_the_same_release_starts_in_the_same_epoch(bench: Bench) -> None:
    first = bench.deploy()
    down(bench.cluster, NAMES)
    with open_fleet(bench.cluster, first) as fleet:
        assert pids(fleet) == {"d1": None, "d2": None}
        bench.pushed()
        assert bench.deploy() == first
        assert bench.pushed() == 0
        assert None not in pids(fleet).values()


def test_another_release_opens_the_next_epoch_with_the_same_keys(
    bench: Bench, tmp_path: Path
) -> None:
    first = bench.deploy()
    second = bench.deploy(relay_release(tmp_path / "store", NAMES, seed=b"2"))
    assert (second.cluster, second.epoch) == (first.cluster, 2)
    assert second.peers == first.peers
    assert second.programs != first.programs


def test_a_flipped_byte_on_the_device_is_found_and_mended(bench: Bench) -> None:
    first = bench.deploy()
    down(bench.cluster, NAMES)
    source = bench.release.files[1][0]
    blob = bench.root("d1").blobs / source.name
    damaged = bytearray(source.read_bytes())
    damaged[1000] ^= 1
    blob.unlink()
    blob.write_bytes(damaged)
    assert bench.deploy() == first
    assert blob.read_bytes() == source.read_bytes()


def test_an_executor_that_does_not_come_up_is_named_with_its_log(bench: Bench) -> None:
    with occupied(bench.cluster, "d2"), pytest.raises(DeployError) as caught:
        bench.deploy()
    assert caught.value.where == "d2"
    assert "can't listen on" in str(caught.value)
    assert not bench.record.exists()
    with pytest.raises(DeployError):
        load_record(bench.record)


@pytest.mark.parametrize("failure", [DeployError("no answer in time"), KeyboardInterrupt()])
def test_what_fails_or_is_interrupted_returns_to_the_release_before(
    bench: Bench, tmp_path: Path, failure: BaseException
) -> None:
    first = bench.deploy()
    other = relay_release(tmp_path / "store", NAMES, seed=b"2")

    def ready(_: Record) -> None:
        raise failure

    with pytest.raises(type(failure)):
        deploy(other, bench.cluster, GATEWAY_KEY, bench.record, ready=ready)
    assert load_record(bench.record) == first
    serving(bench.cluster)(first)
    with open_fleet(bench.cluster, first) as fleet:
        states, _ = fleet.states()
    assert {name: state.release for name, state in states.items()} == first.programs


def test_a_first_deployment_that_fails_leaves_nothing_running(bench: Bench) -> None:
    with pytest.raises(DeployError):
        deploy(bench.release, bench.cluster, GATEWAY_KEY, bench.record, ready=never_ready)
    for name in NAMES:
        device = bench.cluster.device(name)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((device.address, device.port))


def test_nothing_is_activated_unless_every_device_was_staged(bench: Bench, tmp_path: Path) -> None:
    first = bench.deploy()
    before = {name: current(bench.root(name)) for name in NAMES}
    broken = relay_release(tmp_path / "store", NAMES, seed=b"2")
    broken.files[2][0].write_bytes(b"not what its name says")
    with pytest.raises(HostError, match="damaged there after a second upload") as caught:
        bench.deploy(broken)
    assert caught.value.where == "d2"
    assert {name: current(bench.root(name)) for name in NAMES} == before
    assert load_record(bench.record) == first


def test_all_failing_devices_are_named(bench: Bench) -> None:
    devices = [replace(d, python="/nowhere/python3") for d in bench.cluster.devices]
    cluster = replace(bench.cluster, devices=tuple(devices))
    with pytest.raises(EdgesplitError) as caught:
        deploy(bench.release, cluster, GATEWAY_KEY, bench.record, ready=never_ready)
    text = str(caught.value)
    assert "2 of 2 devices failed" in text
    assert "d1: there is no Python at `/nowhere/python3`" in text
    assert "d2: there is no Python" in text


def test_a_python_without_the_modules_is_refused_before_any_change(bench: Bench) -> None:
    wrapper = bench.record.with_name("bare-python")
    wrapper.write_text(f'#!/bin/sh\nexec "{bench.cluster.devices[0].python}" -I -S "$@"\n')
    wrapper.chmod(0o755)
    devices = [replace(d, python=str(wrapper)) for d in bench.cluster.devices]
    cluster = replace(bench.cluster, devices=tuple(devices))
    with pytest.raises(DeployError, match="lacks numpy, onnxruntime, zmq"):
        deploy(bench.release, cluster, GATEWAY_KEY, bench.record, ready=never_ready)
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


def test_a_preview_changes_nothing_and_counts_bytes(bench: Bench) -> None:
    first = preview(bench.release, bench.cluster, GATEWAY_KEY, bench.record)
    assert [sum(change.push.values()) > 100_000 for change in first] == [True, True]
    assert not bench.root("d1").folder.exists()
    bench.deploy()
    again = preview(bench.release, bench.cluster, GATEWAY_KEY, bench.record)
    assert [(dict(c.push), c.unchanged) for c in again] == [({}, True)] * 2
    assert [sum(c.keep.values()) for c in again] == [sum(c.push.values()) for c in first]


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


def test_a_damaged_record_starts_a_new_cluster(bench: Bench) -> None:
    first = bench.deploy()
    bench.record.write_text(json.dumps({"format": 1}))
    second = bench.deploy()
    assert (second.cluster != first.cluster, second.epoch) == (True, 1)
