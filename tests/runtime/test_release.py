from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from device_folder import DeviceFolder, Order

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import adopt
from edgesplit.runtime.keys import (
    current_key_file,
    curve_public,
    curve_secret,
    device_public,
    device_secret,
    key_file,
)
from edgesplit.runtime.program import Peer, Program
from edgesplit.runtime.release import (
    Watch,
    check_whole,
    commit,
    current,
    describe,
    highest_epoch,
    load_program,
    retire,
    stage,
)
from edgesplit.runtime.root import Root


@pytest.fixture
def device(tmp_path: Path) -> DeviceFolder:
    return DeviceFolder.made(tmp_path / "root")


@pytest.fixture
def root(device: DeviceFolder) -> Root:
    return device.root


def staged(root: Root, order: Order) -> str:
    plain = order.plain
    return stage(root, plain["manifest"], plain["program"], plain["record"], plain["before"])


def test_a_staged_release_is_named_by_its_manifest_and_is_not_current(
    device: DeviceFolder, root: Root
) -> None:
    order = device.order(1, device.put(b"a", "onnx"))
    assert staged(root, order) == order.digest
    assert current(root) is None


def test_a_release_is_described_as_it_was_staged(device: DeviceFolder, root: Root) -> None:
    order = device.order(1, before="ab" * 32)
    found: dict[str, Any] = describe(root, staged(root, order))
    assert found == {**order.plain, "manifest": found["manifest"]}
    assert stage(root, found["manifest"], found["program"]) == order.digest


def test_committing_switches_and_returns_the_release_before(
    device: DeviceFolder, root: Root
) -> None:
    old, new = staged(root, device.order(1)), staged(root, device.order(2))
    assert commit(root, old) is None
    assert commit(root, new) == old
    assert load_program(root, new).epoch == 2
    assert (root.current / "program.json").read_text() == load_program(root, new).to_json()


def test_an_incomplete_release_leaves_the_old_one_current(device: DeviceFolder, root: Root) -> None:
    old = staged(root, device.order(1))
    lacking = device.put(b"gone", "weights")
    new = staged(root, device.order(2, lacking))
    (root.blobs / lacking).unlink()
    commit(root, old)
    with pytest.raises(RuntimeFault, match=lacking[:20]):
        commit(root, new)
    assert current(root) == old


def test_retiring_leaves_the_releases(device: DeviceFolder, root: Root) -> None:
    digest = staged(root, device.order(1))
    commit(root, digest)
    retire(root)
    retire(root)
    assert current(root) is None
    assert check_whole(root, digest)


@pytest.mark.parametrize("file", ["program.json", "manifest.json"])
def test_a_changed_release_is_refused(device: DeviceFolder, root: Root, file: str) -> None:
    digest = staged(root, device.order(1))
    path = root.release(digest) / file
    path.write_text(path.read_text().replace('"', '" ', 1).replace("python", "pithon"))
    with pytest.raises(RuntimeFault):
        commit(root, digest)


def test_an_unknown_release_is_refused(root: Root) -> None:
    with pytest.raises(RuntimeFault, match="no release abab"):
        commit(root, "ab" * 32)


def test_a_program_of_another_manifest_is_not_staged(device: DeviceFolder, root: Root) -> None:
    plain = device.order(1).plain
    with pytest.raises(RuntimeFault, match="another program"):
        stage(root, plain["manifest"], device.order(2).program.to_json())
    with pytest.raises(RuntimeFault, match="not a manifest"):
        stage(root, {"program": "x"}, plain["program"])
    assert highest_epoch(root) == 0


def test_the_highest_epoch_counts_all_releases_and_forgives_damaged_ones(
    device: DeviceFolder, root: Root
) -> None:
    assert highest_epoch(root) == 0
    for epoch in (3, 7, 5):
        staged(root, device.order(epoch))
    damaged = root.release("ab" * 32)
    damaged.mkdir()
    (damaged / "program.json").write_text("[]")
    (root.releases / "stray").touch()
    assert highest_epoch(root) == 7


def test_an_executor_sees_itself_become_current_and_be_followed(
    device: DeviceFolder, root: Root
) -> None:
    first, second = staged(root, device.order(4)), staged(root, device.order(5))
    watch, later = Watch(root, first, 4), Watch(root, second, 5)
    assert (watch.candidate(), watch.superseded(), watch.record()) == (True, False, b"")
    commit(root, first)
    assert (watch.candidate(), watch.superseded()) == (False, False)
    assert (later.candidate(), later.superseded()) == (True, False)
    commit(root, second)
    assert (watch.candidate(), watch.superseded(), watch.successor()) == (False, True, 5)
    assert (later.candidate(), later.superseded(), later.successor()) == (False, False, None)
    assert watch.record() == b'{"epoch": 5}'
    commit(root, first)
    assert (later.candidate(), later.superseded()) == (True, False)


def test_adopting_renames_the_sound_and_deletes_the_bad(tmp_path: Path) -> None:
    good, flipped, absent = (hashlib.sha256(c).hexdigest() + ".onnx" for c in (b"g", b"f", b"a"))
    (tmp_path / f"{good}.part").write_bytes(b"g")
    (tmp_path / flipped).write_bytes(b"F")
    assert adopt(tmp_path, (good, flipped, absent)) == (flipped, absent)
    assert [path.name for path in tmp_path.iterdir()] == [good]


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "curve.secret"
    secret = curve_secret(path)
    path.chmod(0o644)
    assert curve_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(curve_public(secret)) == 40


def test_a_damaged_key_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "curve.secret"
    path.write_text("nonsense")
    with pytest.raises(RuntimeFault, match="8 bytes instead of 40"):
        curve_secret(path)
    assert path.read_text() == "nonsense"


def test_a_device_keeps_its_key_until_it_is_rotated(root: Root) -> None:
    first = device_public(root)
    assert device_public(root) == first
    second = device_public(root, rotate=True)
    assert second != first
    assert device_public(root) == second
    for public in (first, second):
        assert curve_public(device_secret(root, public)) == public
        assert key_file(root, public).stat().st_mode & 0o777 == 0o600
    assert current_key_file(root) == key_file(root, second)


def test_a_swapped_or_lost_key_is_refused(root: Root) -> None:
    public, other = device_public(root), device_public(root, rotate=True)
    key_file(root, public).write_bytes(device_secret(root, other))
    with pytest.raises(RuntimeFault, match="another key"):
        device_secret(root, public)
    key_file(root, public).unlink()
    with pytest.raises(RuntimeFault, match="is gone"):
        device_secret(root, public)


def test_a_program_with_peers_and_known_answers_survives_its_text(device: DeviceFolder) -> None:
    program = replace(
        device.order(3).program,
        peers={"e": Peer("tcp://127.0.0.1:2", "P" * 40)},
        pace={1: 0.5},
        predicted={1: 0.25},
        answers={1: ({"scale": 2.0, "samples": [1.0, None]},)},
    )
    assert Program.from_json(program.to_json()) == program


@pytest.mark.parametrize(("epoch", "slot"), [(1, 1), (2, 0), (7, 1)])
def test_neighbouring_epochs_take_different_slots(
    device: DeviceFolder, epoch: int, slot: int
) -> None:
    assert device.order(epoch).program.slot == slot
