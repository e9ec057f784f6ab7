"""`profile` on hosts with real sshd, one of each class at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from command_line import Desk
from deployments import processes_of
from sshd_bed import SshdBed, free_port, sshd_bed

from edgesplit.plan.databases import load_databases

pytestmark = pytest.mark.ssh
BOARDS = "raspberry-pi-3b", "raspberry-pi-4b"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdBed]:
    with sshd_bed(tmp_path_factory.mktemp("bed"), len(BOARDS)) as bed:
        yield bed


def test_each_class_is_measured_on_a_device_of_its_own(bed: SshdBed, tmp_path: Path) -> None:
    desk = Desk(tmp_path, tmp_path / "cache")
    desk.write("cluster.yaml", _cluster(bed))
    desk.write("model.yaml", "source: {zoo: lenet5}\nparity: 0\n")
    told = desk.json("profile", "cluster.yaml", "model.yaml")
    kept = load_databases(desk.cache / "profiles")
    assert set(kept) == {f"{board}-1-cores" for board in BOARDS}
    assert {one["device"] for one in told["classes"]} == {"a", "b"}
    assert all(one["failed"] == [] and one["measured"] > 20 for one in told["classes"])
    assert all(
        set(one.links["over-ssh"]) - {"gateway"} == set(kept) - {name} for name, one in kept.items()
    )
    for host in bed.hosts:
        root = host.home / ".local/share/edgesplit"
        assert not [*root.rglob("profile")]
        assert {path.suffix for path in root.rglob("blobs/*")} == {".zip"}
        assert len([*root.rglob("blobs/*")]) == 1
    assert processes_of(bed.identity.parent) == {}


def _cluster(bed: SshdBed) -> str:
    port = free_port([host.address for host in bed.hosts])
    devices = {
        name: {"host": host.address, "profile": board}
        for name, host, board in zip("ab", bed.hosts, BOARDS, strict=True)
    }
    first = bed.hosts[0]
    ssh = {
        "user": first.user,
        "port": first.port,
        "identity": str(bed.identity),
        "known_hosts": str(bed.known_hosts),
        "config": "/dev/null",
    }
    defaults = {
        "connection": "ssh",
        "memory": "256 MiB",
        "cores": 1,
        "port": port,
        "python": sys.executable,
        "ssh": ssh,
    }
    return yaml.safe_dump({"name": "over-ssh", "defaults": defaults, "devices": devices})
