"""Plan, launch, bench, fail-node and down on six hosts with real sshd, each at an own address."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployments import COVERED, STARTER, STARTER_DEVICES, Deployment, deployed, processes_of
from journeys import bench_beside_one_device, deploy_again, go_down, lose_nothing
from sshd_bed import SshdBed, free_port, sshd_bed

from edgesplit.operate.drill import Fault

pytestmark = pytest.mark.ssh


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdBed]:
    with sshd_bed(tmp_path_factory.mktemp("bed"), len(STARTER_DEVICES)) as bed:
        yield bed


@pytest.fixture(scope="module")
def homes(bed: SshdBed) -> Path:
    """The folder of all homes: whatever runs on the hosts lies below it."""
    return bed.identity.parent


@pytest.fixture(scope="module")
def cluster(
    bed: SshdBed, homes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("ssh"), cluster_file(bed), STARTER) as made:
        yield made
    assert not processes_of(homes)


def cluster_file(bed: SshdBed) -> dict[str, object]:
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
        "profile": "raspberry-pi-3b",
        "memory": "256 MiB",
        "cores": 1,
        "port": free_port([host.address for host in bed.hosts]),
        "python": sys.executable,
        "ssh": ssh,
    }
    hosts = zip(STARTER_DEVICES, bed.hosts, strict=True)
    devices = {name: {"host": host.address} for name, host in hosts}
    return {"name": "over-ssh", "defaults": defaults, "devices": devices}


def test_every_host_got_its_own_shards_only(cluster: Deployment, bed: SshdBed) -> None:
    table = cluster.trial.record.table
    for name, host in zip(STARTER_DEVICES, bed.hosts, strict=True):
        blobs = host.home / ".local/share/edgesplit/over-ssh" / name / "blobs"
        shards = {path.stem for path in blobs.glob("*.onnx")}
        assert shards == {task.shard for task in table.tasks_of(name)}


def test_bench_shows_the_single_device_beside(cluster: Deployment) -> None:
    found = bench_beside_one_device(cluster)
    assert [run.name for run in found.runs] == ["edgesplit", "one device"]


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.PAUSE])
def test_a_lost_device_of_the_parity_group_loses_nothing(cluster: Deployment, fault: Fault) -> None:
    lose_nothing(cluster, COVERED[0], fault)


def test_a_second_deploy_moves_and_restarts_nothing(cluster: Deployment) -> None:
    deploy_again(cluster)


def test_down_leaves_no_process(cluster: Deployment, homes: Path) -> None:
    go_down(cluster, homes)
