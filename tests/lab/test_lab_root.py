from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_bed import BOARD, fresh_name, is_switched_off, lab, need, ssh, traces

from edgesplit.errors import LabError
from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.boot import boot, power_off
from edgesplit.lab.cgroups import freeze, kill_all, memory, set_cpu, set_memory
from edgesplit.lab.down import take_down
from edgesplit.lab.enter import host_processes, in_host, in_network, init_pid
from edgesplit.lab.network import CONTROLLER_PORT, link_port, tbf
from edgesplit.lab.status import lab_status
from edgesplit.lab.up import Wanted, bring_up
from edgesplit.spec.cluster_file import load_cluster

pytestmark = pytest.mark.lab

EATER = "data = bytearray(int(__import__('sys').argv[1])); print(len(data))"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("bed"), presets=(BOARD, "raspberry-pi-5")) as made:
        yield made


@pytest.fixture
def first(bed: Lab) -> LabHost:
    return bed.hosts[0]


def queue(bed: Lab, where: str, link: str) -> dict[str, object]:
    shown = in_network(bed, where, ["tc", "-s", "-json", "qdisc", "show", "dev", link]).stdout
    (found,) = json.loads(shown)
    assert isinstance(found, dict)
    return found


def test_each_host_is_a_computer_of_its_own(bed: Lab) -> None:
    one, other = bed.hosts
    assert [ssh(bed, host, "hostname") for host in bed.hosts] == ["pi1", "pi2"]
    assert ssh(bed, one, "id -un; id -u; pwd") == "pi\n1000\n/home/pi"
    in_host(bed, one, ["sh", "-c", "echo here >/etc/marked; echo here >/tmp/marked"])
    assert ssh(bed, one, "cat /etc/marked /tmp/marked") == "here\nhere"
    assert ssh(bed, other, "ls /etc/marked /tmp/marked 2>&1 | grep -c 'No such'") == "2"
    assert not Path("/etc/marked").exists()
    assert len({ssh(bed, host, "readlink /proc/self/ns/pid") for host in bed.hosts}) == 2
    assert ssh(bed, one, "cat /proc/1/comm") == "sh"


def test_hosts_have_keys_of_their_own_and_all_are_known(bed: Lab) -> None:
    lines = (bed.folder / "known_hosts").read_text().splitlines()
    assert len({line.split()[2] for line in lines}) == len(bed.hosts)
    assert stat.S_IMODE((bed.folder / "id").stat().st_mode) == 0o600


def test_hosts_reach_each_other_and_nothing_else(bed: Lab, first: LabHost) -> None:
    other = bed.hosts[1].address
    greeting = f"exec 3<>/dev/tcp/{other}/22; read -r -n 4 word <&3; echo $word"
    assert ssh(bed, first, f"bash -c '{greeting}'") == "SSH-"
    assert "default" not in in_network(bed, first.name, ["ip", "route"]).stdout


def test_the_controllers_python_runs_on_a_host_that_cannot_change_it(
    bed: Lab, first: LabHost
) -> None:
    python = load_cluster(bed.folder / "cluster.yaml").device(first.name).python
    assert python is not None
    assert ssh(bed, first, f"{python} -c 'import zmq, onnxruntime; print(42)'") == "42"
    change = f'{python} -c \'import sys; open(sys.prefix + "/x", "w")\''
    assert "Read-only" in in_host(bed, first, ["sh", "-c", change], check=False).stderr


def test_links_carry_the_boards_payload_and_no_more(bed: Lab, first: LabHost) -> None:
    other = bed.hosts[1]
    for host, rate in ((first, 94.1e6 / 8), (other, 1e9 / 8)):
        for where, link in ((host.name, "eth0"), ("switch", link_port(host))):
            options = queue(bed, where, link)["options"]
            assert isinstance(options, dict)
            assert options["rate"] == pytest.approx(rate * 1514 / 1448, rel=1e-3)
    for where, link in (("controller", bed.controller_link), ("switch", CONTROLLER_PORT)):
        options = queue(bed, where, link)["options"]
        assert isinstance(options, dict)
        assert options["rate"] == pytest.approx(1e9 / 8 * 1514 / 1448, rel=1e-3)
    assert "burst 3200b" in tbf(first.shape.rate)
    before = queue(bed, first.name, "eth0")
    assert len(ssh(bed, first, "head -c 1500000 /dev/urandom | base64 -w 0")) == 2_000_000
    after = queue(bed, first.name, "eth0")
    assert int(str(after["bytes"])) - int(str(before["bytes"])) > 2_000_000
    assert int(str(after["overlimits"])) > int(str(before["overlimits"]))


def test_streams_are_controlled_as_on_a_board(bed: Lab, first: LabHost) -> None:
    default = in_network(
        bed, first.name, ["cat", "/proc/sys/net/ipv4/tcp_congestion_control"]
    ).stdout.strip()
    routes = in_network(bed, first.name, ["ip", "route"]).stdout
    assert default == "cubic" or "congctl cubic" in routes


def test_a_host_has_the_memory_of_its_board_and_not_a_byte_more(bed: Lab, first: LabHost) -> None:
    python = ["/usr/bin/env", "python3", "-c", EATER]
    one, other = lab_status(bed)
    assert (one.limit, other.limit) == (1 << 30, 2 << 30)
    assert one.memory is not None
    assert 0 < one.memory.used < 1 << 30
    assert in_host(bed, first, [*python, str(100 << 20)]).stdout.strip() == str(100 << 20)
    set_memory(bed, first, 64 << 20)
    try:
        assert in_host(bed, first, [*python, str(100 << 20)], check=False).returncode in {-9, 137}
    finally:
        set_memory(bed, first, first.memory)
    assert memory(bed, first).used < 64 << 20
    assert ssh(bed, first, "echo alive") == "alive"


def test_a_frozen_host_can_be_killed_and_comes_back_with_its_disk(bed: Lab, first: LabHost) -> None:
    ssh(bed, first, "echo kept >kept; echo gone >/tmp/gone; nohup sleep 600 >/dev/null 2>&1 &")
    before = init_pid(bed, first)
    freeze(bed, first)
    power_off(bed, first)
    assert host_processes(bed, first) == []
    assert not before.alive
    assert is_switched_off(bed, first)
    with pytest.raises(LabError, match="switched off"):
        in_host(bed, first, ["true"])
    boot(bed, first)
    assert ssh(bed, first, "cat kept; ls /tmp/gone 2>&1 | grep -c 'No such'") == "kept\n1"
    assert not ssh(bed, first, "pgrep -x sleep -u pi; true")
    with pytest.raises(LabError, match="switched on already"):
        boot(bed, first)


def test_killing_all_spares_the_other_hosts(bed: Lab, first: LabHost) -> None:
    kill_all(bed, first)
    assert [host.on for host in lab_status(bed)] == [False, True]
    boot(bed, first)
    assert [host.on for host in lab_status(bed)] == [True, True]


def test_a_cpu_share_is_set_and_lifted(bed: Lab, first: LabHost) -> None:
    set_cpu(bed, first, 0.01)
    set_cpu(bed, first, 2.0)
    set_cpu(bed, first, None)
    assert ssh(bed, first, "echo alive") == "alive"


def test_mixed_boards_are_written_as_such(bed: Lab) -> None:
    cluster = load_cluster(bed.folder / "cluster.yaml")
    assert [device.profile for device in cluster.devices] == [BOARD, "raspberry-pi-5"]
    assert [device.pace for device in cluster.devices] == [BOARD, "raspberry-pi-5"]
    assert [device.cores for device in cluster.devices] == [1, 1]
    assert [device.host for device in cluster.devices] == [host.address for host in bed.hosts]
    assert cluster.devices[0].memory < 1 << 30
    assert cluster.devices[0].link.bandwidth == 94.1e6 / 8
    assert cluster.gateway_link.bandwidth == 1e9 / 8
    assert Path(str(cluster.devices[0].ssh.identity)) == bed.folder / "id"


def test_a_slice_takes_the_place_of_pacing(tmp_path: Path) -> None:
    with lab(tmp_path, 1, sliced=True, bare=True) as made:
        (host,) = made.hosts
        device = load_cluster(made.folder / "cluster.yaml").device(host.name)
        assert host.slice == pytest.approx(0.1)
        assert device.pace is None
        assert device.python is None
        assert "venv" not in ssh(made, host, "ls /tmp")


def test_two_labs_live_side_by_side(bed: Lab, first: LabHost, tmp_path: Path) -> None:
    with lab(tmp_path, 1) as second:
        assert second.subnet != bed.subnet
        assert ssh(second, second.hosts[0], "hostname") == "pi1"
    assert ssh(bed, first, "hostname") == "pi1"


def test_down_leaves_nothing(tmp_path: Path) -> None:
    with lab(tmp_path, 3) as made:
        ssh(made, made.hosts[0], "nohup setsid sleep 600 >/dev/null 2>&1 &")
        found = traces(made.name, made.folder)
        assert {kind.split()[0] for kind in found} >= {"network", "link", "cgroup", "process"}
        (made.folder / "allocation.yaml").write_text("mine")
        assert take_down(made.folder, None) == made.name
        assert traces(made.name, made.folder) == {str(made.folder / "allocation.yaml")}
        assert take_down(made.folder, None) is None


def test_a_lab_whose_folder_is_gone_is_taken_down_by_name(tmp_path: Path) -> None:
    with lab(tmp_path, 1) as made:
        made.folder.rename(tmp_path / "elsewhere")
        assert take_down(None, made.name) == made.name
        assert traces(made.name, made.folder) == set()


def test_a_taken_name_is_refused_with_the_remedy(bed: Lab, tmp_path: Path) -> None:
    again = Wanted((BOARD,), tmp_path / "lab", bed.name, Level.ROOT)
    with pytest.raises(LabError, match="is up already") as caught:
        bring_up(again)
    assert "lab down" in caught.value.remedy
    assert not (tmp_path / "lab").exists()
    with pytest.raises(LabError, match="is up here already"):
        bring_up(Wanted((BOARD,), bed.folder, fresh_name(), Level.ROOT))
    assert ssh(bed, bed.hosts[0], "hostname") == "pi1"


def test_under_sudo_the_files_are_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(Level.ROOT)
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "1234")
    with lab(tmp_path, 1) as made:
        for name in ("", "id", "cluster.yaml", "ssh_config", "known_hosts", "lab.json"):
            assert (made.folder / name).stat().st_uid == 1234
        assert (made.folder / "hosts").stat().st_uid == os.geteuid()
