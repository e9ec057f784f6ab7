from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from relays import blob, until
from sshd_bed import SshdBed, make_key, sshd_bed
from tcp_relay import Wire, tcp_relay

from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.hosts import Ask, Passport
from edgesplit.deploy.push import push_all
from edgesplit.deploy.ssh import SshHost
from edgesplit.deploy.workers import open_workers
from edgesplit.errors import DeployError, HostError
from edgesplit.spec.cluster import Device

pytestmark = pytest.mark.ssh

NAMES = ("d1", "d2", "d3")
MB = 1_000_000


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdBed]:
    with sshd_bed(tmp_path_factory.mktemp("bed"), len(NAMES)) as bed:
        yield bed


@pytest.fixture
def devices(bed: SshdBed, tmp_path: Path) -> tuple[Device, ...]:
    return tuple(
        replace(server.device(name, port=1, python=sys.executable), root=str(tmp_path / name))
        for name, server in zip(NAMES, bed.hosts, strict=True)
    )


@pytest.fixture(autouse=True)
def _workers_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgesplit.deploy.push._HOSTS_OF_ONE_PROCESS", 1)
    monkeypatch.setattr("edgesplit.deploy.push._BYTES_OF_ONE_PROCESS", MB)


@contextmanager
def ready(devices: tuple[Device, ...], ask: Ask | None = None) -> Iterator[Crew]:
    with open_crew(devices, "c", ask) as crew:
        crew.each(lambda station: station.bootstrap())
        yield crew


def sources(tmp_path: Path) -> dict[str, Path]:
    return {name: blob(tmp_path, os.urandom(3 * MB)) for name in NAMES}


def part(tmp_path: Path, name: str, source: Path) -> Path:
    return tmp_path / name / "blobs" / f"{source.name}.part"


def children(pid: int | None = None) -> set[int]:
    """Return the processes that a process has started in its first thread."""
    pid = pid or os.getpid()
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_each_device_gets_its_own_and_what_was_there_stays(
    devices: tuple[Device, ...], tmp_path: Path
) -> None:
    files, small = sources(tmp_path), blob(tmp_path, b"small")
    wanted = {name: {s.name: s, small.name: small} for name, s in files.items()}
    told: dict[str, list[tuple[int, int]]] = {name: [] for name in NAMES}
    before = children()
    with ready(devices) as crew:
        part(tmp_path, "d3", files["d3"]).write_bytes(files["d3"].read_bytes()[:MB])
        crew.each(lambda station: station.probe())
        moved = push_all(crew, wanted, lambda name, *step: told[name].append(step))
    assert moved == {"d1": 3 * MB + 5, "d2": 3 * MB + 5, "d3": 2 * MB + 5}
    for name, source in files.items():
        there = tmp_path / name / "blobs"
        assert (there / source.name).read_bytes() == source.read_bytes()
        assert (there / small.name).read_bytes() == b"small"
        assert told[name] == sorted(told[name])
        assert told[name][-1] == (moved[name], moved[name])
    assert children() <= before


def test_failures_come_back_as_what_they_are(devices: tuple[Device, ...], tmp_path: Path) -> None:
    files = sources(tmp_path)
    with ready(devices) as crew:
        for name in ("d1", "d2"):
            part(tmp_path, name, files[name]).symlink_to("/dev/full")
        with pytest.raises(DeployError, match="2 of 3 devices failed") as caught:
            push_all(crew, {n: {s.name: s} for n, s in files.items()}, lambda *_: None)
        for name in ("d1", "d2"):
            assert f"{name}: " in caught.value.what
        assert caught.value.what.count("the disk may be full") == 2
        part(tmp_path, "d1", files["d1"]).unlink()
        with pytest.raises(HostError, match="the disk may be full") as alone:
            push_all(crew, {n: {s.name: s} for n, s in files.items()}, lambda *_: None)
    assert alone.value.where == "d2"
    assert "free some space" in alone.value.remedy
    assert (tmp_path / "d3" / "blobs" / files["d3"].name).exists()


def test_a_person_is_asked_once_and_by_us(devices: tuple[Device, ...], tmp_path: Path) -> None:
    files, known = sources(tmp_path), tmp_path / "known"
    asked: list[str] = []

    def ask(name: str, _: str) -> bool:
        asked.append(name)
        return True

    asking = tuple(
        replace(device, ssh=replace(device.ssh, host_keys="ask", known_hosts=str(known)))
        for device in devices
    )
    with ready(asking, ask) as crew:
        known.unlink()  # What was verified counts, not what is in the file by now.
        push_all(crew, {n: {s.name: s} for n, s in files.items()}, lambda *_: None)
    assert sorted(asked) == list(NAMES)
    assert not known.exists()


def test_a_worker_trusts_no_other_key(devices: tuple[Device, ...], tmp_path: Path) -> None:
    device, source = devices[0], blob(tmp_path, b"x")
    place = f"[{device.host}]:{device.ssh.port}"
    passport = Passport(device, (f"{place} {make_key(tmp_path / 'other')}",))
    with open_workers(1) as workers, pytest.raises(HostError, match="has changed") as caught:
        workers.put(passport, {str(tmp_path / "target"): source}, lambda _: None)
    assert caught.value.where == "d1"
    assert not (tmp_path / "target").exists()


def test_a_worker_that_dies_is_told(devices: tuple[Device, ...], tmp_path: Path) -> None:
    source, before = blob(tmp_path, os.urandom(8 * MB)), children()
    host = SshHost(devices[0])
    with open_workers(1) as workers:
        (worker,) = children() - before
        for sent in (lambda _: os.kill(worker, signal.SIGKILL), lambda _: None):
            with pytest.raises(HostError, match="ended before it was done") as caught:
                workers.put(host.passport(), {str(tmp_path / "target"): source}, sent)
            assert caught.value.where == "d1"
    host.close()


CONTROLLER = """
import pickle, sys
from pathlib import Path
from edgesplit.deploy import push
from edgesplit.deploy.crew import open_crew

push._HOSTS_OF_ONE_PROCESS, push._BYTES_OF_ONE_PROCESS = 1, 1
devices, source = pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2])
with open_crew(devices, "c") as crew:
    crew.each(lambda station: station.bootstrap())
    files = {device.name: {source.name: source} for device in devices}
    push.push_all(crew, files, lambda _, done, total: print(done, flush=True))
"""


@contextmanager
def behind_a_wire_that_stalls(
    devices: tuple[Device, ...], known: Path, bed: SshdBed
) -> Iterator[tuple[Device, ...]]:
    with ExitStack() as relays:
        slow, lines = [], []
        for device, server in zip(devices, bed.hosts, strict=False):
            place = (server.address, server.port)
            relay = relays.enter_context(tcp_relay(place, Wire.STALL, 2 * MB, faulty=9))
            lines.append(f"[{server.address}]:{relay.port} {server.host_key}\n")
            login = replace(device.ssh, port=relay.port, known_hosts=str(known))
            slow.append(replace(device, ssh=login))
        known.write_text("".join(lines))
        yield tuple(slow)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_an_interrupted_push(
    devices: tuple[Device, ...], bed: SshdBed, tmp_path: Path, number: signal.Signals
) -> None:
    source = blob(tmp_path, os.urandom(8 * MB))
    with behind_a_wire_that_stalls(devices[:2], tmp_path / "known", bed) as slow:
        (tmp_path / "devices").write_bytes(pickle.dumps(slow))
        words = [sys.executable, "-c", CONTROLLER, str(tmp_path / "devices"), str(source)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
            assert one.stdout is not None
            next(line for line in one.stdout if int(line) > MB)
            workers = children(one.pid)
            assert len(workers) == 2
            one.send_signal(number)
            one.wait(60)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
