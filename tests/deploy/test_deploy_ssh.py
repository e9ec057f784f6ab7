from __future__ import annotations

import os
import re
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from relays import KEYS, LINK, blob, free_port, relay_release, witness
from sshd_bed import SshdBed, SshdHost, make_key, sshd_bed

from edgesplit.deploy.changeover import Deployed
from edgesplit.deploy.deployer import Wish, deploy, down
from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.hosts import Host
from edgesplit.deploy.login import Limits
from edgesplit.deploy.reach import open_host
from edgesplit.deploy.record import load_record
from edgesplit.deploy.ssh import SshHost
from edgesplit.errors import HostError
from edgesplit.spec.cluster import Cluster, Device, Ssh

pytestmark = pytest.mark.ssh


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdBed]:
    with sshd_bed(tmp_path_factory.mktemp("bed"), 2) as bed:
        yield bed


@pytest.fixture
def open_on() -> Iterator[list[Host]]:
    hosts: list[Host] = []
    yield hosts
    for host in hosts:
        host.close()


@pytest.fixture
def host(bed: SshdBed) -> Iterator[Host]:
    host = open_host(device(bed.hosts[0]))
    yield host
    host.close()


def device(server: SshdHost) -> Device:
    return server.device("d1", port=1, python=sys.executable)


def failure(changed: Device) -> HostError:
    host = open_host(changed)
    try:
        with pytest.raises(HostError) as caught:
            host.run(["true"], timeout=20)
    finally:
        host.close()
    assert caught.value.where == "d1"
    assert caught.value.remedy
    return caught.value


def logins(server: SshdHost) -> int:
    """How many logins, or tries at one, the server has seen."""
    return len(re.findall(r"Accepted|Failed|Postponed", server.log.read_text()))


def with_ssh(server: SshdHost, **changes: object) -> Device:
    login: Ssh = replace(server.ssh(), **changes)  # type: ignore[arg-type]
    return replace(device(server), ssh=login)


def test_a_command_runs_at_home_with_its_words_kept(bed: SshdBed, host: Host) -> None:
    words = ["printf", "%s|", "a b", "$HOME", "'", "~/x", ""]
    done = host.run(words, timeout=20)
    assert done.out.decode() == f"a b|$HOME|'|{bed.hosts[0].home}/x||"
    assert host.run(["sh", "-c", "cat; echo no >&2; exit 3"], timeout=20, stdin=b"in") == type(
        done
    )(3, b"in", b"no\n")


def test_a_changed_host_key_is_refused_and_nothing_is_sent(bed: SshdBed, tmp_path: Path) -> None:
    server = bed.hosts[0]
    other = make_key(tmp_path / "other")
    text = f"[{server.address}]:{server.port} {other}\n"
    (fooled, *_) = bed.with_known_hosts(text, tmp_path / "known")
    before = logins(server)
    for answer in ("yes", "accept-new"):
        error = failure(with_ssh(fooled, host_keys=answer))
        assert "has changed" in error.what
    assert logins(server) == before
    assert (tmp_path / "known").read_text() == text


def test_an_unknown_host_key_is_refused_and_nothing_is_sent(bed: SshdBed, tmp_path: Path) -> None:
    server = bed.hosts[0]
    (stranger, *_) = bed.with_known_hosts("", tmp_path / "known")
    before = logins(server)
    error = failure(with_ssh(stranger))
    assert "is not known: ssh-ed25519 SHA256:" in error.what
    assert "accept-new" in error.remedy
    assert logins(server) == before
    assert (tmp_path / "known").read_text() == ""


def test_a_revoked_host_key_is_refused(bed: SshdBed, tmp_path: Path) -> None:
    server = bed.hosts[0]
    name = f"[{server.address}]:{server.port}"
    text = f"{name} {server.host_key}\n@revoked * {server.host_key}\n"
    (revoked, *_) = bed.with_known_hosts(text, tmp_path / "known")
    assert "is not known" in failure(with_ssh(revoked, host_keys="accept-new")).what


def test_a_damaged_known_hosts_file_is_named_by_line(bed: SshdBed, tmp_path: Path) -> None:
    (server, *_) = bed.with_known_hosts("# ours\nx ssh-rsa %%%%%\n", tmp_path / "known")
    host = open_host(device(server))
    with pytest.raises(HostError, match="can't be read") as caught:
        host.run(["true"], timeout=20)
    assert caught.value.where.endswith("known:2")


@pytest.mark.parametrize("answer", [True, False])
def test_asking_decides_on_an_unknown_key(
    bed: SshdBed, tmp_path: Path, open_on: list[Host], answer: bool
) -> None:
    (stranger, *_) = bed.with_known_hosts("", tmp_path / "known")
    asked: list[tuple[str, str]] = []

    def ask(name: str, fingerprint: str) -> bool:
        asked.append((name, fingerprint))
        return answer

    host = open_host(with_ssh(stranger, host_keys="ask"), ask)
    open_on.append(host)
    if answer:
        assert host.run(["true"], timeout=20).code == 0
    else:
        with pytest.raises(HostError, match="is not known"):
            host.run(["true"], timeout=20)
    assert len(asked) == 1
    assert asked[0][0] == "d1"
    assert bool((tmp_path / "known").read_text()) == answer


def test_accept_new_remembers_the_key(bed: SshdBed, tmp_path: Path, open_on: list[Host]) -> None:
    (stranger, *_) = bed.with_known_hosts("", tmp_path / "known")
    host = open_host(with_ssh(stranger, host_keys="accept-new"))
    open_on.append(host)
    assert host.run(["true"], timeout=20).code == 0
    name = f"[{stranger.address}]:{stranger.port}"
    assert (tmp_path / "known").read_text() == f"{name} {stranger.host_key}\n"
    again = open_host(with_ssh(stranger, host_keys="yes"))
    open_on.append(again)
    assert again.run(["true"], timeout=20).code == 0


def jumping(bed: SshdBed, folder: Path) -> Device:
    """Return the second host as reached through the first, by the user's ssh configuration."""
    jump, server = bed.hosts
    config = folder / "config"
    config.write_text(
        f"Host {server.address}\n  ProxyJump {jump.user}@{jump.address}:{jump.port}\n"
        f"Host *\n  IdentityFile {bed.identity}\n  IdentitiesOnly yes\n"
    )
    return with_ssh(server, config=str(config), identity=None)


def test_a_jump_host_is_gone_through(bed: SshdBed, tmp_path: Path, open_on: list[Host]) -> None:
    host = open_host(jumping(bed, tmp_path))
    open_on.append(host)
    done = host.run(["sh", "-c", "pwd"], timeout=20)
    assert done.out.decode().strip() == str(bed.hosts[1].home)


def test_a_jump_host_with_another_key_is_refused(bed: SshdBed, tmp_path: Path) -> None:
    jump, server = bed.hosts
    other = make_key(tmp_path / "other")
    known = tmp_path / "known"
    known.write_text(
        f"[{jump.address}]:{jump.port} {other}\n"
        f"[{server.address}]:{server.port} {server.host_key}\n"
    )
    through = jumping(bed, tmp_path)
    before = logins(jump)
    error = failure(replace(through, ssh=replace(through.ssh, known_hosts=str(known))))
    assert f"{jump.address} has changed" in error.what
    assert logins(jump) == before


def test_a_refused_login_is_named(bed: SshdBed, tmp_path: Path) -> None:
    make_key(tmp_path / "wrong")
    error = failure(with_ssh(bed.hosts[0], identity=str(tmp_path / "wrong")))
    assert "refused the login" in error.what


def test_a_missing_identity_is_named(bed: SshdBed) -> None:
    assert "/nowhere/id" in failure(with_ssh(bed.hosts[0], identity="/nowhere/id")).what


def test_nobody_at_the_port_is_unreachable(bed: SshdBed) -> None:
    error = failure(with_ssh(bed.hosts[0], port=free_port(bed.hosts[0].address)))
    assert "can't be reached" in error.what


def test_a_name_that_means_nothing_is_unreachable(bed: SshdBed) -> None:
    error = failure(replace(device(bed.hosts[0]), host="no-such-host.invalid"))
    assert "can't be reached" in error.what


def test_a_silent_server_is_given_up(bed: SshdBed) -> None:
    with socket.create_server((bed.hosts[0].address, 0)) as mute:
        silent = with_ssh(bed.hosts[0], port=mute.getsockname()[1])
        with pytest.raises(HostError, match="did not answer") as caught:
            SshHost(silent, limits=Limits(login=1.0, answer=1)).run(["true"], timeout=20)
    assert caught.value.where == "d1"


def test_a_command_that_hangs_is_given_up(host: Host) -> None:
    with pytest.raises(HostError, match=r"did not end within 0\.5 s"):
        host.run(["sleep", "20"], timeout=0.5)
    assert host.run(["true"], timeout=20).code == 0


def test_an_upload_continues_where_it_was_cut(host: Host, bed: SshdBed, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    source = blob(tmp_path, content)
    target = bed.hosts[0].home / "upload.part"
    target.write_bytes(content[:2_000_000])
    told: list[int] = []
    host.put({str(target): source, str(target) + "2": b"small"}, told.append)
    assert target.read_bytes() == content
    assert sum(told) == 1_000_001 + len(b"small")
    assert host.fetch(str(target) + "2") == b"small"


def test_an_upload_into_no_folder_names_the_path(host: Host) -> None:
    with pytest.raises(HostError, match=r"/nowhere/x: .*No such file"):
        host.put({"/nowhere/x": b"y"}, lambda _: None)


def test_a_full_disk_is_named(host: Host) -> None:
    with pytest.raises(HostError, match="disk may be full"):
        host.put({"/dev/full": b"y" * 100_000}, lambda _: None)


def test_an_upload_that_is_cut_goes_on_over_a_new_connection(
    bed: SshdBed, tmp_path: Path, open_on: list[Host]
) -> None:
    server, content = bed.hosts[0], os.urandom(4_000_000)
    source, target = blob(tmp_path, content), server.home / "cut.part"
    with cutting_proxy(server, after=2_000_000) as port:
        (seen, *_) = bed.with_known_hosts(
            f"[{server.address}]:{port} {server.host_key}\n", tmp_path / "known"
        )
        host = open_host(with_ssh(seen, port=port))
        open_on.append(host)
        with pytest.raises(HostError, match="lost"):
            host.put({str(target): source}, lambda _: None)
        there = target.stat().st_size
        assert there < len(content)
        told: list[int] = []
        host.put({str(target): source}, told.append)
        host.close()
    # The server may have written more by then, of what was under way when it was cut.
    assert 0 < sum(told) <= len(content) - there
    assert target.read_bytes() == content


@contextmanager
def cutting_proxy(server: SshdHost, *, after: int) -> Iterator[int]:
    """Listen for a server; cut the first connection after so many bytes from the client."""
    with socket.create_server((server.address, 0)) as listener:

        def serve() -> None:
            for budget in (after, 1 << 40):
                client, _ = listener.accept()
                inner = socket.create_connection((server.address, server.port))
                with client, inner, suppress(ConnectionError):
                    pump(client, inner, budget)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
    thread.join()


def pump(client: socket.socket, inner: socket.socket, budget: int) -> None:
    """Carry bytes both ways until one end closes or the client's budget is spent."""
    ends = {client: inner, inner: client}
    while budget > 0:
        for end in select.select(list(ends), [], [])[0]:
            data = end.recv(1 << 16)
            if not data:
                return
            ends[end].sendall(data)
            budget -= len(data) if end is client else 0


def test_deploying_over_ssh(bed: SshdBed, tmp_path: Path) -> None:
    names = ("d1", "d2")
    devices = tuple(
        server.device(name, port=free_port(server.address), python=sys.executable)
        for name, server in zip(names, bed.hosts, strict=True)
    )
    cluster = Cluster("over-ssh", devices, LINK)
    release, record = relay_release(tmp_path / "store", names), tmp_path / "r.json"
    wish = Wish(release, cluster, KEYS.public)
    try:
        first = deploy(wish, record, witness=witness()).record
        assert load_record(record) == first
        folder = bed.hosts[0].home / ".local/share/edgesplit/over-ssh/d1"
        assert (folder / "blobs" / release.files[1][0].name).read_bytes() == release.files[1][
            0
        ].read_bytes()
        with open_fleet(cluster, first) as fleet:
            before = fleet.states()
            assert deploy(wish, record, witness=witness()) == Deployed(first, "unchanged")
            assert fleet.states() == before
            fleet.kill("d2")
            assert fleet.restore("d1").running
    finally:
        down(cluster, names, purge=True)
    assert not folder.exists()


def test_one_bad_host_of_two_changes_neither(bed: SshdBed, tmp_path: Path) -> None:
    good, bad = bed.hosts
    make_key(tmp_path / "wrong")
    devices = (
        good.device("d1", port=free_port(good.address), python=sys.executable),
        replace(
            bad.device("d2", port=free_port(bad.address), python=sys.executable),
            ssh=replace(bad.ssh(), identity=str(tmp_path / "wrong")),
        ),
    )
    release = relay_release(tmp_path / "store", ("d1", "d2"))
    cluster = Cluster("half", devices, LINK)
    with pytest.raises(HostError, match="refused the login") as caught:
        deploy(Wish(release, cluster, KEYS.public), tmp_path / "r.json", witness=witness())
    assert caught.value.where == "d2"
    assert not (good.home / ".local/share/edgesplit/half").exists()
