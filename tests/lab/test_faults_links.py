"""Faults of links, at both levels that have any: seen by what arrives, gone when undone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from lab_bed import lab, ssh
from lab_probes import arriving, banner, link, round_trips

from edgesplit.lab import faults, wifi
from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.enter import CONTROLLER, in_network, run
from edgesplit.lab.faults import Fault, Kind
from edgesplit.lab.network import link_port

pytestmark = pytest.mark.lab

PATIENCE = 10.0
"""Seconds for what is to come; what isn't is waited for shorter."""


@pytest.fixture(scope="module", params=[Level.ROOT, Level.USER])
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("bed"), 3, level=request.param) as made:
        yield made


@pytest.fixture
def first(bed: Lab) -> Iterator[LabHost]:
    yield bed.hosts[0]
    faults.undo_all(bed, bed.hosts[0].name)
    assert faults.active(bed) == ()


def greets(bed: Lab, host: LabHost) -> bool:
    return banner(bed, host, PATIENCE) == "SSH-"


def fetch(bed: Lab, host: LabHost, there: str, here: str) -> CompletedProcess[str]:
    """Pipe what a command on a host writes into one here; stderr has the time that it took."""
    door = f"ssh -F {bed.folder}/ssh_config {host.name}"
    return run(bed, ["bash", "-c", f"time -p {door} '{there}' | {here}"])


def shaped(bed: Lab, host: LabHost) -> list[list[str]]:
    """Return the queues of both ends of a host's link."""
    ends = ((host.name, "eth0"), ("switch", link_port(host)))
    shown = [in_network(bed, where, ["tc", "qdisc", "show", "dev", name]) for where, name in ends]
    return [re.findall(r"tbf .*(rate .*)", each.stdout) for each in shown]


def test_a_link_that_is_down_has_no_carrier_and_carries_nothing(bed: Lab, first: LabHost) -> None:
    down = faults.inject(bed, Fault(Kind.LINK_DOWN, first.name))
    assert link(bed, first.name)["operstate"] == "DOWN"
    assert banner(bed, first) == "silence"
    assert greets(bed, bed.hosts[1])
    faults.undo(bed, down)
    assert greets(bed, first)


def test_a_black_hole_swallows_without_a_word(bed: Lab, first: LabHost) -> None:
    hole = faults.inject(bed, Fault(Kind.BLACKHOLE, first.name))
    assert link(bed, first.name)["operstate"] == "UP"
    assert banner(bed, first) == "silence"
    assert arriving(bed, CONTROLLER, first) == 0
    assert arriving(bed, first.name, bed.hosts[1]) == 0
    faults.undo(bed, hole)
    assert greets(bed, first)


def test_a_partition_is_one_way(bed: Lab, first: LabHost) -> None:
    _, other, third = bed.hosts
    cut = faults.inject(bed, Fault(Kind.PARTITION, first.name, other=other.name))
    assert arriving(bed, first.name, other) == 0
    assert arriving(bed, other.name, first) == 1
    assert arriving(bed, first.name, third) == 1
    assert greets(bed, first)
    faults.undo(bed, cut)
    assert arriving(bed, first.name, other) == 1


def test_a_host_can_be_cut_off_from_the_controller_and_from_a_host_at_a_time(
    bed: Lab, first: LabHost
) -> None:
    other = bed.hosts[1]
    faults.inject(bed, Fault(Kind.PARTITION, first.name, other=CONTROLLER))
    faults.inject(bed, Fault(Kind.PARTITION, first.name, other=other.name))
    assert banner(bed, first) == "silence"
    assert arriving(bed, CONTROLLER, first) == 1
    assert arriving(bed, first.name, other) == 0
    assert len(faults.undo_all(bed, first.name, Kind.PARTITION)) == 2
    assert greets(bed, first)


def test_loss_takes_its_share_both_ways(bed: Lab, first: LabHost) -> None:
    faults.inject(bed, Fault(Kind.LOSS, first.name, amount=0.9))
    faults.inject(bed, Fault(Kind.LOSS, first.name, amount=0.5))  # It takes the other's place.
    assert 60 < arriving(bed, CONTROLLER, first, 200) < 140
    assert 60 < arriving(bed, first.name, bed.hosts[1], 200) < 140
    assert arriving(bed, CONTROLLER, bed.hosts[1], 200) == 200
    faults.undo_all(bed, first.name)
    assert arriving(bed, CONTROLLER, first, 200) == 200


def test_a_slow_link_takes_its_time(bed: Lab, first: LabHost) -> None:
    whole = shaped(bed, first)
    faults.inject(bed, Fault(Kind.SLOW, first.name, amount=200e3))
    fetched = fetch(bed, first, "head -c 200000 /dev/zero", "wc -c")
    assert fetched.stdout.strip() == "200000"
    assert float(fetched.stderr.split()[1]) > 0.8  # Of the second that its bytes take.
    assert shaped(bed, first) != whole
    faults.undo_all(bed, first.name)
    assert shaped(bed, first) == whole


def test_jitter_stretches_round_trips_and_leaves_bytes_alone(bed: Lab, first: LabHost) -> None:
    cable = shaped(bed, first)
    address = link(bed, first.name)["address"]
    faults.inject(bed, Fault(Kind.JITTER, first.name, amount=30e-3))
    found = round_trips(bed, first, 30)
    assert sum(found) / len(found) > 15e-3  # Twice 30 ms are meant.
    assert max(found) > 2 * min(found)
    assert link(bed, first.name)["address"] == address
    faults.undo_all(bed, first.name)
    assert wifi.shims(bed, first) == []
    assert min(round_trips(bed, first, 30)) < 15e-3
    assert shaped(bed, first) == cable


def test_a_wireless_link_delays_every_frame_and_keeps_its_bytes(bed: Lab, first: LabHost) -> None:
    shape = replace(first.shape, delay=15e-3, tail=5e-3, seed=7)
    process = wifi.attach(bed, first, shape)
    assert process in wifi.shims(bed, first)
    assert min(round_trips(bed, first, 10)) >= 30e-3
    make = "head -c 500000 /dev/urandom | tee /tmp/noise"
    fetched = fetch(bed, first, make, "sha256sum").stdout
    assert fetched.split()[0] == ssh(bed, first, "sha256sum </tmp/noise").split()[0]
    wifi.detach(bed, first)
    assert not process.alive
    assert greets(bed, first)


def test_undone_faults_leave_a_wireless_link_wireless(tmp_path: Path) -> None:
    with lab(tmp_path, 1, radio=True) as made:
        (host,) = made.hosts
        radio = shaped(made, host)
        faults.inject(made, Fault(Kind.SLOW, host.name, amount=1e6))
        faults.inject(made, Fault(Kind.LINK_DOWN, host.name))
        faults.inject(made, Fault(Kind.JITTER, host.name, amount=1e-3))
        assert "UP" not in link(made, "switch", link_port(host))["flags"]
        assert shaped(made, host) != radio
        assert len(faults.undo_all(made, host.name)) == 3
        assert shaped(made, host) == radio
        assert len(wifi.shims(made, host)) == 1
        assert min(round_trips(made, host, 5)) >= 2 * host.shape.delay
