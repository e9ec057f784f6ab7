from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.errors import SpecErrors
from edgesplit.spec.boards import BOARDS, GIGABIT, LOOPBACK
from edgesplit.spec.cluster import Cluster, Device, Link, Ssh
from edgesplit.spec.cluster_file import cluster_to_plain, load_cluster, parse_cluster
from edgesplit.spec.located import load_yaml

KITCHEN = """\
name: kitchen
defaults:
  profile: raspberry-pi-3b
  memory: 700 MiB
  link: {latency: 0.5 ms}
  ssh: {user: pi, host_keys: yes, identity: keys/id}
gateway: {link: {bandwidth: 2 Gbit/s}}
devices:
  pi1: {host: 192.168.1.11}
  pi2: {host: pi2.local, memory: 400 MiB, address: 192.168.1.12, ssh: {port: 2222}}
  here: {connection: local, pace: 20, cores: 2, root: work, python: ./venv/bin/python}
"""

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True).filter(lambda n: n != "gateway")
links = st.builds(
    Link,
    bandwidth=st.floats(min_value=1, max_value=1e12),
    latency=st.floats(min_value=0, max_value=100),
)
files = st.none() | st.just(str(Path.home() / "id")) | st.just("/etc/ssh/id")
logins = st.builds(
    Ssh,
    user=st.none() | st.just("pi"),
    port=st.none() | st.integers(1, 65535),
    identity=files,
    known_hosts=files,
    config=files,
    host_keys=st.sampled_from(["ask", "yes", "accept-new"]),
)
paces = (
    st.none()
    | st.floats(min_value=1, max_value=1e6)
    | st.sampled_from(["raspberry-pi-3b", "raspberry-pi-5"])
)


@st.composite
def devices(draw: st.DrawFn) -> tuple[Device, ...]:
    chosen = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    return tuple(
        Device(
            name=name,
            connection=draw(st.sampled_from(["local", "ssh"])),
            host=draw(st.sampled_from(["127.0.0.1", "pi.local", "fe80::1"])),
            address=f"10.0.0.{index}",
            port=draw(st.integers(1, 65534)),
            profile=draw(st.sampled_from(list(BOARDS))),
            memory=draw(st.integers(1, 2**50)),
            cores=draw(st.integers(1, 1024)),
            link=draw(links),
            pace=draw(paces),
            python=draw(st.none() | st.just("/usr/bin/python3")),
            root=draw(st.none() | st.just("/srv/edgesplit")),
            ssh=draw(logins),
        )
        for index, name in enumerate(chosen)
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def errors(folder: Path, text: str) -> list[str]:
    """Return `line:column: what` of every error of a cluster file."""
    path = written(folder, text)
    with pytest.raises(SpecErrors) as caught:
        load_cluster(path)
    return [
        f"{e.where.removeprefix(str(path)).removeprefix(':')}: {e.what}"
        for e in caught.value.errors
    ]


@given(st.builds(Cluster, name=names, devices=devices(), gateway_link=links))
def test_a_cluster_written_as_yaml_is_read_back(cluster: Cluster) -> None:
    plain = cluster_to_plain(cluster)
    assert parse_cluster(plain) == cluster
    assert parse_cluster(yaml.safe_load(yaml.safe_dump(plain, sort_keys=False))) == cluster


def test_devices_lie_over_defaults_and_those_over_the_board(tmp_path: Path) -> None:
    cluster = load_cluster(written(tmp_path, KITCHEN))
    pi1, pi2, here = cluster.devices
    assert pi1 == Device(
        name="pi1",
        connection="ssh",
        host="192.168.1.11",
        address="192.168.1.11",
        port=47310,
        profile="raspberry-pi-3b",
        memory=700 * 2**20,
        cores=4,
        link=Link(94.1e6 / 8, 0.5e-3),
        ssh=Ssh(user="pi", identity=str(tmp_path.resolve() / "keys/id"), host_keys="yes"),
    )
    assert (pi2.host, pi2.address, pi2.memory) == ("pi2.local", "192.168.1.12", 400 * 2**20)
    assert (pi2.ssh.user, pi2.ssh.port) == ("pi", 2222)
    assert (here.host, here.port, here.cores, here.pace) == ("127.0.0.1", 47314, 2, 20.0)
    assert here.link == Link(LOOPBACK.bandwidth, 0.5e-3)
    assert cluster.gateway_link == Link(2e9 / 8, GIGABIT.latency)


def test_paths_on_this_machine_are_relative_to_the_file(tmp_path: Path) -> None:
    pi1, _, here = load_cluster(written(tmp_path, KITCHEN)).devices
    assert here.python == str(tmp_path.resolve() / "venv/bin/python")
    assert here.root == "work", "a bare name is looked up where it is used"
    assert pi1.python is None


def test_home_is_written_so_that_others_can_use_it(tmp_path: Path) -> None:
    text = "name: a\ndevices:\n  b: {host: h, ssh: {identity: ~/.ssh/id}}\n"
    cluster = load_cluster(written(tmp_path, text))
    assert cluster.devices[0].ssh.identity == str(Path.home() / ".ssh/id")
    assert cluster_to_plain(cluster)["devices"]["b"]["ssh"]["identity"] == "~/.ssh/id"


def test_a_path_on_another_machine_is_left_alone(tmp_path: Path) -> None:
    text = "name: a\ndevices:\n  b: {host: h, python: ../python, root: ~/edge}\n"
    device = load_cluster(written(tmp_path, text)).devices[0]
    assert (device.python, device.root) == ("../python", "~/edge")


def test_local_devices_need_nothing_but_a_name(tmp_path: Path) -> None:
    text = "name: here\ndefaults: {connection: local, port: 5000}\ndevices:\n  a:\n  b: {}\n"
    cluster = load_cluster(written(tmp_path, text))
    assert [device.port for device in cluster.devices] == [5000, 5002]
    assert cluster.gateway_link == LOOPBACK
    assert cluster.devices[0].link == LOOPBACK


@pytest.mark.parametrize("profile", list(BOARDS))
def test_a_board_leaves_memory_for_its_system(tmp_path: Path, profile: str) -> None:
    text = f"name: a\ndevices:\n  b: {{host: h, profile: {profile}}}\n"
    device = load_cluster(written(tmp_path, text)).devices[0]
    board = BOARDS[profile]
    assert board.ram // 2 < device.memory < board.ram * 3 // 4
    assert (device.cores, device.link) == (board.cores, board.link)


def test_a_true_from_another_reader_is_the_word_yes() -> None:
    plain = yaml.safe_load("name: a\ndevices: {b: {host: h, ssh: {host_keys: yes}}}")
    assert parse_cluster(plain).devices[0].ssh.host_keys == "yes"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("host: h, memroy: 1 MiB", "3:16: 'memroy' is not a key of devices.b; did you mean 'mem"),
        ("host: h, memory: 700", "3:24: devices.b.memory: 700 has no unit: expected a size"),
        ("host: h, memory: 0 MiB", "3:24: devices.b.memory: '0 MiB' is nothing: expected a size"),
        ("host: h, link: {latency: 1}", "3:32: devices.b.link.latency: 1 has no unit"),
        ("host: h, link: 5", "3:22: devices.b.link: 5 can't be used here: expected a mapping"),
        ("host: h, link: {bandwith: 1}", "3:23: 'bandwith' is not a key of devices.b.link; did"),
        ("host: h, profile: raspberry-pi-3", "3:25: devices.b.profile: 'raspberry-pi-3' is not a"),
        ("host: h, pace: raspbery-pi-5", "3:22: devices.b.pace: 'raspbery-pi-5' is not a board"),
        ("host: h, pace: 0.5", "3:22: devices.b.pace: 0.5 would be faster than this machine"),
        ("host: h, pace: true", "3:22: devices.b.pace: True is not a number"),
        ("host: h, cores: 0", "3:23: devices.b.cores: 0 can't be used here: expected a whole"),
        ("host: h, cores: 2.5", "3:23: devices.b.cores: 2.5 can't be used here"),
        ("host: h, port: 70000", "3:22: devices.b.port: 70000 can't be used here"),
        ("host: h, connection: locl", "3:28: devices.b.connection: 'locl' is not a way to connect"),
        ("host: h, connection: 3", "3:28: devices.b.connection: 3 is not a way to connect"),
        ("host: -oProxyCommand=x", "3:13: devices.b.host: '-oProxyCommand=x' is not a host"),
        ("host: 'a b'", "3:13: devices.b.host: 'a b' is not a host"),
        ("host: 5", "3:13: devices.b.host: 5 is not a host"),
        ("host: h, ssh: {user: -l}", "3:28: devices.b.ssh.user: '-l' is not a login name"),
        ("host: h, ssh: {host_keys: no}", "3:33: devices.b.ssh.host_keys: 'no' is not a way to"),
        ("host: h, ssh: {identity: [a]}", "3:32: devices.b.ssh.identity: ['a'] can't be used"),
        ("host: h, python: ''", "3:24: devices.b.python: '' can't be used here: expected text"),
        ("memory: 1 MiB", "3:3: the host of 'b' is missing"),
        ("host: h, host: i", "3:16: 'host' is here twice, first on line 3"),
    ],
)
def test_a_wrong_device(tmp_path: Path, line: str, expected: str) -> None:
    found = errors(tmp_path, f"name: a\ndevices:\n  b: {{{line}}}\n")
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("devices: {b: {host: h}}", "1:1: 'name' is missing"),
        ("name: A\ndevices: {b: {host: h}}", "1:7: name: 'A' is not a name"),
        ("name: 3\ndevices: {b: {host: h}}", "1:7: name: 3 is not a name"),
        ("name: a", "1:1: 'devices' is missing"),
        ("name: a\ndevices:\n", "2:1: 'devices' is missing"),
        ("name: a\ndevices: {}", "2:10: there is no device"),
        ("name: a\ndevices: [b]", "2:10: devices: ['b'] can't be used here: expected a mapping"),
        ("- name: a", "1:1: [{'name': 'a'}] can't be used here: expected a mapping of keys"),
        ("name: a\ndevices: {b_1: {host: h}}", "2:11: 'b_1' is not a name"),
        ("name: a\ndevices: {B: {host: h}}", "2:11: 'B' is not a name"),
        (f"name: a\ndevices: {{{'b' * 64}: {{host: h}}}}", f"2:11: '{'b' * 59}... is not a name"),
        ("name: a\ndevices: {gateway: {host: h}}", "2:11: 'gateway' is reserved"),
        ("name: a\ndevices: {b: 5}", "2:14: devices.b: 5 can't be used here"),
        ("nmae: a\nname: a\ndevices: {b: {host: h}}", "1:1: 'nmae' is not a key; did you mean"),
        ("name: a\ndefaults: 3\ndevices: {b: {host: h}}", "2:11: defaults: 3 can't be used here"),
        ("name: a\ngateway: {lnk: 3}\ndevices: {b: {host: h}}", "2:11: 'lnk' is not a key of gat"),
        (
            "name: a\ndevices:\n  b: {host: h}\n  c: {host: h}\n",
            "4:3: 'c' and 'b' both have h port 47310",
        ),
        (
            "name: a\ndefaults: {connection: local}\ndevices:\n  b: {}\n  c: {port: 47310}\n",
            "5:3: 'c' and 'b' both have 127.0.0.1 port 47310",
        ),
        (
            "name: a\ndefaults: {connection: local, port: 65535}\ndevices:\n  b: {}\n",
            "4:3: the ports of 'b' would be 65535 and 65536",
        ),
        (
            "name: a\ndevices:\n  b: {host: h}\n  c: {host: h, port: 47311}\n",
            "4:3: 'c' and 'b' both have h port 47311",
        ),
        ("name: a\ndevices:\n  b: {host: h}\n  b: {host: i}\n", "4:3: 'b' is here twice, first on"),
    ],
)
def test_a_wrong_cluster(tmp_path: Path, text: str, expected: str) -> None:
    found = errors(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_errors_of_a_file_come_at_once_in_its_order(tmp_path: Path) -> None:
    text = """\
name: Kitchen
defalts: {}
devices:
  pi1: {host: a, memory: 700}
  pi2: {host: b, pot: 3}
  pi3: {}
  pi4: {host: c}
  pi5: {host: c}
  pi4: {host: d}
"""
    assert [found.split(": ")[0] for found in errors(tmp_path, text)] == [
        "9:3",  # What the reading itself found comes first.
        "1:7",
        "2:1",
        "4:26",
        "5:18",
        "6:3",
        "8:3",
    ]


def test_a_remedy_names_what_may_be_written(tmp_path: Path) -> None:
    path = written(tmp_path, "name: a\ndevices: {b: {host: h, ssh: {usr: pi}}}\n")
    with pytest.raises(SpecErrors) as caught:
        load_cluster(path)
    (error,) = caught.value.errors
    assert error.remedy == "use one of: user, port, identity, known_hosts, config, host_keys"
    assert "did you mean 'user'?" in str(caught.value)


def test_a_section_of_a_larger_file_keeps_its_places(tmp_path: Path) -> None:
    path = written(tmp_path, "stages: []\ncluster:\n  name: a\n  devices: {b: {host: h, prt: 1}}\n")
    with pytest.raises(SpecErrors) as caught:
        parse_cluster(load_yaml(path).at("cluster"))
    assert caught.value.errors[0].where == f"{path}:4:26"
