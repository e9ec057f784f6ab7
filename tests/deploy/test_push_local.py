from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relays import blob, local_device, until

from edgesplit.deploy.code import device_code
from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.local import LocalHost
from edgesplit.deploy.patience import Patience
from edgesplit.deploy.push import push_all
from edgesplit.errors import HostError, RuntimeFault
from edgesplit.runtime.unpack import unpack


def silent(_device: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    devices = [local_device(name, tmp_path / name) for name in ("d1", "d2")]
    with open_crew(devices, "c") as crew:
        crew.each(lambda station: station.bootstrap())
        yield crew


def blobs_of(tmp_path: Path, device: str) -> Path:
    return tmp_path / device / "blobs"


def test_blobs_come_whole_and_only_once(crew: Crew, tmp_path: Path) -> None:
    first, second = (blob(tmp_path, os.urandom(size)) for size in (3_000_000, 10))
    files = {"d1": {first.name: first, second.name: second}, "d2": {first.name: first}}
    told: list[tuple[str, int, int]] = []
    moved = push_all(crew, files, lambda *step: told.append(step))
    assert moved == {"d1": 3_000_010, "d2": 3_000_000}
    assert [step for step in told if step[0] == "d1"][-1] == ("d1", 3_000_010, 3_000_010)
    assert (blobs_of(tmp_path, "d1") / first.name).read_bytes() == first.read_bytes()
    assert not (blobs_of(tmp_path, "d2") / second.name).exists()
    crew.each(lambda station: station.probe())
    assert push_all(crew, files, silent) == {"d1": 0, "d2": 0}


def test_a_device_shares_no_file_with_the_store(crew: Crew, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    source = blob(tmp_path, content)
    push_all(crew, {"d1": {source.name: source}}, silent)
    there = blobs_of(tmp_path, "d1") / source.name
    there.write_bytes(b"damaged" + content[7:])
    assert source.read_bytes() == content


def test_a_byte_that_flipped_on_a_device_is_mended(crew: Crew, tmp_path: Path) -> None:
    source = blob(tmp_path, os.urandom(100_000))
    files = {"d1": {source.name: source}}
    push_all(crew, files, silent)
    there = blobs_of(tmp_path, "d1") / source.name
    there.write_bytes(b"!" + there.read_bytes()[1:])
    crew.each(lambda station: station.probe())
    assert push_all(crew, files, silent)["d1"] == 100_000
    assert there.read_bytes() == source.read_bytes()


def test_a_damaged_store_is_told_and_leaves_nothing(crew: Crew, tmp_path: Path) -> None:
    source = blob(tmp_path, b"sound")
    source.write_bytes(b"wrong")
    with pytest.raises(HostError, match="damaged there after a second upload") as caught:
        push_all(crew, {"d2": {source.name: source}}, silent)
    assert caught.value.where == "d2"
    assert "shard store on this machine" in caught.value.remedy
    assert not list(blobs_of(tmp_path, "d2").glob(f"{source.name}*"))


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    target = str(tmp_path / "gone" / "x")
    with pytest.raises(HostError, match=f"{target}: No such file"):
        LocalHost("d1").put({target: b"y"}, lambda _: None)


def endless(tmp_path: Path) -> list[str]:
    """A command that leaves its process number and says `more` until it is killed."""
    note = tmp_path / "pid"
    return ["sh", "-c", f"echo $$ > {note}; while echo more; do sleep 0.01; done"]


def gone(tmp_path: Path) -> bool:
    return not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_leaving_a_stream_ends_its_process(tmp_path: Path) -> None:
    with LocalHost("d1").stream(endless(tmp_path)) as pieces:
        assert next(pieces).startswith(b"more")
    assert gone(tmp_path)
    assert set(b"".join(pieces).split()) <= {b"more"}


def test_a_stream_is_read_by_one_thread_and_left_by_another(tmp_path: Path) -> None:
    read: list[bytes] = []
    with LocalHost("d1").stream(endless(tmp_path)) as pieces:
        reader = threading.Thread(target=lambda: read.extend(pieces))
        reader.start()
        until(lambda: bool(read))
    reader.join()
    assert read
    assert gone(tmp_path)


def test_a_stream_tells_why_its_command_ended() -> None:
    host = LocalHost("d1")
    with host.stream(["sh", "-c", "echo said; echo why >&2; exit 3"]) as pieces:
        assert next(pieces) == b"said\n"
        with pytest.raises(HostError, match="ended: why") as caught:
            next(pieces)
    assert caught.value.where == "d1"
    with host.stream(["sh", "-c", "echo said; echo why >&2"]) as pieces:
        assert list(pieces) == [b"said\n"]


def test_a_stream_of_nothing_is_refused() -> None:
    with (
        pytest.raises(HostError, match="/nowhere/tool: No such file"),
        LocalHost("d1").stream(["/nowhere/tool"]),
    ):
        pass


def test_patience_ends_when_nothing_moves() -> None:
    cut = threading.Event()
    with Patience(0.05, cut.set) as patience:
        assert cut.wait(60)
    assert patience.expired


def test_patience_begins_anew_with_every_move() -> None:
    cut = threading.Event()
    with Patience(60, cut.set) as patience:
        patience.moved()
    assert not patience.expired
    assert not cut.is_set()


def tar(members: dict[str, bytes], *, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


NAME = "a" * 64 + ".weights"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a" * 63 + ".weights", NAME + "/x", NAME.upper(), "a" * 64]
)
def test_only_blobs_are_unpacked(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeFault, match="is not a blob"):
        unpack(tmp_path, io.BytesIO(tar({name: b"x"})))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_only_files_are_unpacked(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(RuntimeFault, match="is not a blob"):
        unpack(tmp_path, io.BytesIO(tar({NAME: b""}, kind=kind)))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named_by_the_device(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(RuntimeFault, match=f"{NAME}: No space left on device") as caught:
        unpack(tmp_path, io.BytesIO(tar({NAME: b"x" * 100_000})))
    assert "free some space" in caught.value.remedy


CONTENTS = {hashlib.sha256(bytes([i])).hexdigest() + ".json": os.urandom(700) for i in range(3)}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(tar(CONTENTS))))
def test_a_stream_cut_anywhere_leaves_only_beginnings(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    with suppress(RuntimeFault):
        unpack(folder, io.BytesIO(tar(CONTENTS)[:cut]))
    for path in folder.iterdir():
        assert CONTENTS[path.name.removesuffix(".part")].startswith(path.read_bytes())


def test_the_zip_unpacks_by_itself(tmp_path: Path) -> None:
    code = tmp_path / "code.zip"
    code.write_bytes(device_code().content)
    (tmp_path / "blobs").mkdir()
    words = [sys.executable, "-P", "-m", "edgesplit.runtime", "unpack", str(tmp_path)]
    done = subprocess.run(
        words,
        input=tar(CONTENTS),
        env={**os.environ, "PYTHONPATH": str(code)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b'{"files": 3}\n'
    there = {p.name.removesuffix(".part"): p.read_bytes() for p in (tmp_path / "blobs").iterdir()}
    assert there == CONTENTS
