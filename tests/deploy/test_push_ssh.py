from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relays import blob, until
from sshd_bed import SshdBed, SshdHost, make_key, sshd_bed
from tcp_relay import TcpRelay, Wire, tcp_relay

from edgesplit.deploy.code import device_code
from edgesplit.deploy.login import Limits
from edgesplit.deploy.push import push
from edgesplit.deploy.ssh import SshHost
from edgesplit.deploy.station import Station
from edgesplit.errors import HostError

pytestmark = pytest.mark.ssh

QUICK = Limits(answer=1, login=2, silence=1)
# A flipped length makes the server wait for bytes that never come.
PATIENT = Limits(answer=10, login=20, silence=4)
CODE = device_code()


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdBed]:
    with sshd_bed(tmp_path_factory.mktemp("bed"), 2) as bed:
        yield bed


@pytest.fixture
def server(bed: SshdBed) -> SshdHost:
    return bed.hosts[0]


@pytest.fixture
def station(server: SshdHost, tmp_path: Path) -> Iterator[Station]:
    with at(server, tmp_path / "there") as station:
        yield station


@contextmanager
def at(
    server: SshdHost, root: Path, *, relay: TcpRelay | None = None, limits: Limits = QUICK
) -> Iterator[Station]:
    """Yield a station on a server, reached through a relay where there is one."""
    port = server.port if relay is None else relay.port
    known = root.with_name("known_hosts")
    known.write_text(f"[{server.address}]:{port} {server.host_key}\n")
    login = replace(server.ssh(), port=port, known_hosts=str(known))
    device = server.device("d1", port=1, python=sys.executable)
    device = replace(device, ssh=login, root=str(root))
    host = SshHost(device, limits=limits)
    station = Station(device, host, "c", CODE)
    try:
        yield station
    finally:
        host.close()


def there(station: Station, source: Path) -> Path:
    assert station.device.root is not None
    return Path(station.device.root) / "blobs" / source.name


def pushed(station: Station, *sources: Path) -> int:
    """Push files after a fresh look at the device; return the bytes that moved."""
    station.probe()
    station.bootstrap()
    moved: list[int] = []
    push(station, {source.name: source for source in sources}, moved.append)
    return sum(moved)


def sessions(server: SshdHost) -> int:
    return server.log.read_text().count("Starting session:")


def test_only_missing_bytes_move(station: Station, tmp_path: Path) -> None:
    large, small = blob(tmp_path, os.urandom(3_000_000)), blob(tmp_path, b"small")
    assert pushed(station, large) == 3_000_000
    assert pushed(station, large, small) == 5
    assert pushed(station, large, small) == 0
    for source in (large, small):
        assert there(station, source).read_bytes() == source.read_bytes()


def test_many_small_files_are_one_stream(
    station: Station, server: SshdHost, tmp_path: Path
) -> None:
    sources = [blob(tmp_path, os.urandom(1000)) for _ in range(50)]
    pushed(station, sources[0])
    before = sessions(server)
    assert pushed(station, *sources) == 49_000
    assert sessions(server) - before == 2  # A look and the stream; the check is asked for in words.


def test_an_upload_goes_on_where_it_was_cut(station: Station, tmp_path: Path) -> None:
    large, small = blob(tmp_path, os.urandom(3_000_000)), blob(tmp_path, b"small")
    station.bootstrap()
    for source, count in ((large, 2_000_001), (small, 5)):
        part = there(station, source).with_name(f"{source.name}.part")
        part.write_bytes(source.read_bytes()[:count])
    assert pushed(station, large, small) == 999_999
    assert there(station, large).read_bytes() == large.read_bytes()


def test_a_wrong_beginning_is_found_and_mended(station: Station, tmp_path: Path) -> None:
    source = blob(tmp_path, os.urandom(3_000_000))
    station.bootstrap()
    there(station, source).with_name(f"{source.name}.part").write_bytes(b"?" * 2_000_000)
    assert pushed(station, source) == 1_000_000 + 3_000_000
    assert there(station, source).read_bytes() == source.read_bytes()


def test_a_flipped_byte_on_the_device_is_mended(station: Station, tmp_path: Path) -> None:
    source = blob(tmp_path, os.urandom(1_200_000))
    pushed(station, source)
    with there(station, source).open("r+b") as file:
        file.seek(700_000)
        file.write(bytes([source.read_bytes()[700_000] ^ 1]))
    assert pushed(station, source) == 1_200_000
    assert there(station, source).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("size", [100_000, 4_000_000])
def test_a_full_disk_is_named(station: Station, tmp_path: Path, size: int) -> None:
    source = blob(tmp_path, os.urandom(size))
    station.bootstrap()
    there(station, source).with_name(f"{source.name}.part").symlink_to("/dev/full")
    with pytest.raises(
        HostError, match=f"{source.name}.*(No space left|the disk may be full)"
    ) as e:
        pushed(station, source)
    assert e.value.where == "d1"
    assert "free some space" in e.value.remedy
    assert not there(station, source).exists()


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(after=st.integers(2_000, 2_600_000), fate=st.sampled_from([Wire.CUT, Wire.FLIP]))
def test_a_file_survives_a_bad_wire(
    server: SshdHost, tmp_path_factory: pytest.TempPathFactory, after: int, fate: Wire
) -> None:
    folder = tmp_path_factory.mktemp("wire")
    source, target = blob(folder, os.urandom(2_500_000)), folder / "target"
    with (
        tcp_relay((server.address, server.port), fate, after) as relay,
        at(server, folder / "there", relay=relay, limits=PATIENT) as station,
    ):
        for _ in range(2):
            with suppress(HostError):
                station.host.put({str(target): source}, lambda _: None)
            assert not target.exists() or source.read_bytes().startswith(target.read_bytes())
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("fate", "after"), [(Wire.CUT, 8_000), (Wire.CUT, 1_500_000), (Wire.FLIP, 1_500_000)]
)
def test_a_push_survives_a_bad_wire(
    server: SshdHost, tmp_path: Path, fate: Wire, after: int
) -> None:
    large, small = blob(tmp_path, os.urandom(2_500_000)), blob(tmp_path, os.urandom(1000))
    with (
        tcp_relay((server.address, server.port), fate, after) as relay,
        at(server, tmp_path / "there", relay=relay, limits=PATIENT) as station,
    ):
        with pytest.raises(HostError) as caught:
            pushed(station, large, small)
        assert caught.value.where == "d1"
        assert "repeat the command" in caught.value.remedy
        assert not there(station, large).exists()
        pushed(station, large, small)
        for source in (large, small):
            assert there(station, source).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("after", [0, 100, 700, 1400])
def test_a_login_that_hangs_is_given_up(server: SshdHost, tmp_path: Path, after: int) -> None:
    with (
        tcp_relay((server.address, server.port), Wire.STALL, after) as relay,
        at(server, tmp_path / "there", relay=relay) as station,
        pytest.raises(HostError, match="did not answer within 1 s") as caught,
    ):
        station.host.run(["true"], timeout=20)
    assert caught.value.where == "d1"
    assert "switched on" in caught.value.remedy


def test_a_transfer_that_hangs_is_given_up(server: SshdHost, tmp_path: Path) -> None:
    source = blob(tmp_path, os.urandom(12_000_000))
    with (
        tcp_relay((server.address, server.port), Wire.STALL, 2_000_000) as relay,
        at(server, tmp_path / "there", relay=relay) as station,
    ):
        with pytest.raises(HostError, match="moved no byte for 1 s") as caught:
            pushed(station, source)
        assert caught.value.where == "d1"
        assert "what was uploaded so far is kept" in caught.value.remedy
        assert pushed(station, source) < 12_000_000
        assert there(station, source).read_bytes() == source.read_bytes()


def test_a_command_that_hangs_is_given_up(server: SshdHost, tmp_path: Path) -> None:
    with (
        tcp_relay((server.address, server.port), Wire.STALL, 3_500) as relay,
        at(server, tmp_path / "there", relay=relay) as station,
    ):
        with pytest.raises(HostError, match=r"`cat ...` did not end within 0\.5 s"):
            station.host.run(["cat"], timeout=0.5, stdin=b"x" * 10_000)
        assert station.host.run(["cat"], timeout=20, stdin=b"x").out == b"x"


def test_a_command_that_never_stops_talking_is_given_up(station: Station) -> None:
    with pytest.raises(HostError, match=r"did not end within 0\.5 s"):
        station.host.run(["sh", "-c", "while echo; do sleep 0.01; done"], timeout=0.5)
    assert station.host.run(["true"], timeout=20).code == 0


# Ends with its standard input, as the verb that follows a log does.
FOLLOW = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"


def ended(pid: bytes) -> bool:
    return not Path(f"/proc/{int(pid)}").exists()


def test_leaving_a_stream_ends_its_process(station: Station) -> None:
    with station.host.stream([sys.executable, "-c", FOLLOW]) as pieces:
        pid = next(pieces)
        assert not ended(pid)
    assert list(pieces) == []
    until(lambda: ended(pid))


def test_a_stream_that_is_cut_ends_at_both_ends(server: SshdHost, tmp_path: Path) -> None:
    with (
        tcp_relay((server.address, server.port), Wire.CUT, 1 << 30) as relay,
        at(server, tmp_path / "there", relay=relay) as station,
        station.host.stream([sys.executable, "-c", FOLLOW]) as pieces,
    ):
        pid = next(pieces)
        relay.stop()
        with pytest.raises(HostError, match="lost") as caught:
            next(pieces)
        until(lambda: ended(pid))
    assert caught.value.where == "d1"


def test_a_stream_tells_why_its_command_ended(station: Station) -> None:
    with station.host.stream(["sh", "-c", "echo said; echo why >&2; exit 3"]) as pieces:
        assert next(pieces) == b"said\n"
        with pytest.raises(HostError, match="ended: why"):
            next(pieces)


def test_a_passport_is_good_for_one_key_alone(
    server: SshdHost, station: Station, tmp_path: Path
) -> None:
    assert isinstance(station.host, SshHost)
    passport = station.host.passport()
    (tmp_path / "known_hosts").unlink()  # It was verified; the file doesn't count any more.
    host = SshHost(passport.device, keys=passport.keys)
    assert host.run(["true"], timeout=20).code == 0
    host.close()
    other = make_key(tmp_path / "other")
    accepting = replace(passport.device, ssh=replace(passport.device.ssh, host_keys="accept-new"))
    for device in (passport.device, accepting):
        host = SshHost(device, keys=[f"[{server.address}]:{server.port} {other}"])
        with pytest.raises(HostError, match="has changed") as caught:
            host.run(["true"], timeout=20)
        assert caught.value.where == "d1"
    assert not (tmp_path / "known_hosts").exists()
