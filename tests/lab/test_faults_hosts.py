"""Faults of a host's resources and power: seen by their effect, and gone when undone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_bed import lab, need, ssh, traces
from lab_probes import banner
from lab_service import EXECUTOR, service

from edgesplit.errors import FaultRefused, LabError, UsageError
from edgesplit.lab import faults
from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.boot import boot
from edgesplit.lab.down import take_down
from edgesplit.lab.enter import host_processes, in_host, init_pid, is_on
from edgesplit.lab.faults import Fault, Kind

pytestmark = pytest.mark.lab

PATIENCE = 10.0
GREETING = "SSH-"
BURN = """
import time
start = time.monotonic()
while time.process_time() < 0.3:
    pass
print(time.monotonic() - start)
"""
EAT = "print(len(b'x' * (200 << 20)))"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("bed"), 2) as made:
        yield made


@pytest.fixture
def first(bed: Lab) -> Iterator[LabHost]:
    yield bed.hosts[0]
    faults.undo_all(bed, bed.hosts[0].name)
    assert faults.active(bed) == ()


def python(bed: Lab, host: LabHost, program: str, *, check: bool = True) -> str:
    done = in_host(bed, host, [sys.executable, "-c", program], user=bed.login, check=check)
    return done.stdout.strip()


def test_a_frozen_host_takes_connections_and_says_nothing(bed: Lab, first: LabHost) -> None:
    with service(bed, first, "bystander") as there:
        frozen = faults.inject(bed, Fault(Kind.FREEZE, first.name))
        assert not there.answers()
        assert banner(bed, first) == "silence"
        assert banner(bed, bed.hosts[1], PATIENCE) == GREETING
        faults.undo(bed, frozen)
        assert there.catches_up()
    assert banner(bed, first, PATIENCE) == GREETING


def test_less_cpu_makes_work_take_longer(bed: Lab, first: LabHost) -> None:
    faults.inject(bed, Fault(Kind.CPU, first.name, amount=0.2))
    assert float(python(bed, first, BURN)) > 1.0  # 0.3 s of work, 1.5 s at that share.
    faults.undo_all(bed, first.name, Kind.CPU)
    assert faults.active(bed) == ()


def test_less_memory_kills_who_needs_more(bed: Lab, first: LabHost) -> None:
    faults.inject(bed, Fault(Kind.MEMORY, first.name, amount=100 << 20))
    assert python(bed, first, EAT, check=False) == ""
    assert ssh(bed, first, "echo alive") == "alive"
    faults.undo_all(bed, first.name, Kind.MEMORY)
    assert python(bed, first, EAT) == str(200 << 20)


def test_a_full_disk_keeps_its_files_and_takes_no_more(bed: Lab, first: LabHost) -> None:
    ssh(bed, first, "echo before >kept")
    room = os.statvfs(first.folder).f_bavail
    faults.inject(bed, Fault(Kind.DISK_FULL, first.name))
    write = "head -c 100000 /dev/zero >more"
    assert "No space left" in ssh(bed, first, f"({write}) 2>&1 || true")
    assert ssh(bed, first, "cat kept") == "before"
    assert ssh(bed, bed.hosts[1], f"{write} && wc -c <more") == "100000"
    assert os.statvfs(first.folder).f_bavail > 0.9 * room
    faults.undo_all(bed, first.name)
    assert ssh(bed, first, f"{write} && wc -c <more") == "100000"


def test_a_disk_may_be_left_a_little_room(bed: Lab, first: LabHost) -> None:
    faults.inject(bed, Fault(Kind.DISK_FULL, first.name, amount=1 << 20))
    assert ssh(bed, first, "head -c 500000 /dev/zero >some && wc -c <some") == "500000"
    write = "head -c 1000000 /dev/zero >more"
    assert "No space left" in ssh(bed, first, f"({write}) 2>&1 || true")


def test_a_host_without_power_is_silent_and_comes_back_as_it_was(bed: Lab, first: LabHost) -> None:
    ssh(bed, first, "echo here >kept; sync")
    with service(bed, first, "gone") as there:
        off = faults.inject(bed, Fault(Kind.POWER_OFF, first.name))
        assert host_processes(bed, first) == []
        assert banner(bed, first) == "silence"  # Its kernel doesn't say goodbye for it.
        assert not there.answers()
        faults.undo(bed, off)
    assert ssh(bed, first, "cat kept; hostname") == "here\npi1"  # By the same host key.


def test_a_power_cycle_ends_every_process_and_is_over_when_it_returns(
    bed: Lab, first: LabHost
) -> None:
    ssh(bed, first, "echo here >kept; sync")
    before = init_pid(bed, first)
    faults.inject(bed, Fault(Kind.POWER_CYCLE, first.name))
    assert not before.alive
    assert init_pid(bed, first) != before
    assert ssh(bed, first, "cat kept") == "here"
    assert faults.active(bed) == ()


def test_a_power_cycle_ends_faults_of_processes_and_no_others(bed: Lab, first: LabHost) -> None:
    with service(bed, first, *EXECUTOR):
        for fault in (
            Fault(Kind.HANG, first.name),
            Fault(Kind.DISK_FULL, first.name),
            Fault(Kind.FREEZE, first.name),
            Fault(Kind.BLACKHOLE, first.name),
            Fault(Kind.POWER_CYCLE, first.name),
        ):
            faults.inject(bed, fault)
    kinds = [each.fault.kind for each in faults.active(bed)]
    assert kinds == [Kind.DISK_FULL, Kind.BLACKHOLE]
    assert banner(bed, first) == "silence"
    undone = faults.undo_all(bed, first.name)
    assert [each.fault.kind for each in undone] == [Kind.BLACKHOLE, Kind.DISK_FULL]
    assert banner(bed, first, PATIENCE) == GREETING
    ssh(bed, first, "head -c 100000 /dev/zero >more")


def test_what_needs_a_running_host_is_refused_where_it_is_off(bed: Lab, first: LabHost) -> None:
    off = faults.inject(bed, Fault(Kind.POWER_OFF, first.name))
    for kind in (Kind.KILL, Kind.HANG, Kind.FREEZE, Kind.DISK_FULL):
        with pytest.raises(LabError, match="switched off"):
            faults.inject(bed, Fault(kind, first.name))
    assert faults.active(bed) == (off,)


def test_faults_outlive_nothing_of_their_lab(tmp_path: Path) -> None:
    with lab(tmp_path, 2) as made:
        first, second = (host.name for host in made.hosts)
        faults.inject(made, Fault(Kind.JITTER, first, amount=1e-3))
        faults.inject(made, Fault(Kind.PARTITION, first, other=second))
        faults.inject(made, Fault(Kind.FREEZE, second))
        faults.inject(made, Fault(Kind.DISK_FULL, first))
        assert len(faults.active(made)) == 4
        take_down(made.folder, None)
        assert traces(made.name, tmp_path) == set()
    deadline = time.monotonic() + PATIENCE  # The kernel lets go of a mount when it comes to it.
    while (
        str(tmp_path)
        in subprocess.run(["losetup"], check=True, capture_output=True, text=True).stdout
    ):
        assert time.monotonic() < deadline


def test_a_plain_lab_has_power_and_refuses_what_takes_more(tmp_path: Path) -> None:
    need(Level.PLAIN)
    with lab(tmp_path, 1, level=Level.PLAIN) as made:
        (host,) = made.hosts
        refused = {
            Fault(Kind.LINK_DOWN, host.name): "links of their own; a lab of the level plain",
            Fault(Kind.FREEZE, host.name): "a cgroup for each host",
            Fault(Kind.CPU, host.name, amount=0.5): "a cgroup for each host",
            Fault(Kind.DISK_FULL, host.name): "storage of their own",
        }
        for fault, reason in refused.items():
            with pytest.raises(FaultRefused, match=reason) as caught:
                faults.inject(made, fault)
            assert caught.value.exit_code == 2
            assert "--level" in caught.value.remedy
        off = faults.inject(made, Fault(Kind.POWER_OFF, host.name))
        assert not is_on(made, host)
        faults.undo(made, off)
        assert ssh(made, host, "echo back") == "back"


def test_a_host_that_was_switched_on_by_hand_is_no_obstacle(bed: Lab, first: LabHost) -> None:
    off = faults.inject(bed, Fault(Kind.POWER_OFF, first.name))
    with pytest.raises(UsageError):
        faults.inject(bed, Fault(Kind.LOSS, first.name, amount=2))
    assert not is_on(bed, first)
    faults.undo(bed, off)
    with pytest.raises(LabError, match="switched on already"):
        boot(bed, first)
