"""Nothing takes effect before what it needs is certain to survive."""

from __future__ import annotations

import hashlib
from itertools import count
from pathlib import Path

import pytest
from device_folder import DeviceFolder, Order
from power import Disk, PowerCut, cut_at, watched

from edgesplit.runtime import release
from edgesplit.runtime.blobs import adopt
from edgesplit.runtime.keys import current_key_file, device_public, device_secret, key_file
from edgesplit.runtime.root import Root


@pytest.fixture
def device(tmp_path: Path) -> DeviceFolder:
    return DeviceFolder.made(tmp_path / "root")


def stage(root: Root, order: Order) -> str:
    plain = order.plain
    return release.stage(root, plain["manifest"], plain["program"], order.record, order.before)


def upload(root: Root, content: bytes) -> str:
    name = f"{hashlib.sha256(content).hexdigest()}.onnx"
    (root.blobs / f"{name}.part").write_bytes(content)
    return name


def test_a_commit_comes_after_everything_it_needs(
    device: DeviceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = device.root
    blob = upload(root, b"weights")
    order = device.order(1, blob)
    files = ("manifest.json", "program.json", "record.json", "before")
    needed = (*(root.release(order.digest) / name for name in files), root.blobs / blob)
    lost = []

    def observe(disk: Disk, operation: str, path: Path) -> None:
        if (operation, path) == ("replace", root.current):
            lost.append([path for path in needed if not disk.survives(path, root.folder)])

    with watched(monkeypatch, observe) as disk:
        disk.names.add(root.blobs)
        assert adopt(root.blobs, [blob]) == ()
        release.commit(root, stage(root, order))
        assert lost == [[]]
        assert disk.survives(root.current, root.folder)


def test_an_upload_gets_its_name_after_its_bytes_are_safe(
    device: DeviceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = device.root
    blob = upload(root, b"weights")
    seen = []

    def observe(disk: Disk, operation: str, path: Path) -> None:
        if operation == "replace":
            seen.append(path.with_name(f"{path.name}.part") in disk.contents)

    with watched(monkeypatch, observe) as disk:
        disk.names.add(root.blobs)
        adopt(root.blobs, [blob])
        assert seen == [True]
        assert disk.survives(root.blobs / blob, root.folder)


def test_a_power_cut_anywhere_leaves_the_old_release_or_the_new_one(
    device: DeviceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = device.root
    old, new = device.order(1), device.order(2)
    release.commit(root, stage(root, old))
    left = []
    for number in count():
        try:
            with watched(monkeypatch, cut_at(number)):
                release.commit(root, stage(root, new))
        except PowerCut:
            now = release.current(root)
            assert now is not None
            release.check_whole(root, now)
            left.append(now)
            continue
        break
    assert set(left) == {old.digest, new.digest}
    assert left == sorted(left, key=(old.digest, new.digest).index)
    assert release.current(root) == new.digest


def test_a_power_cut_while_keys_rotate_leaves_a_key(
    device: DeviceFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = device.root
    first = device_public(root)
    for number in count():
        try:
            with watched(monkeypatch, cut_at(number)):
                last = device_public(root, rotate=True)
        except PowerCut:
            assert device_secret(root, device_public(root))
            assert device_secret(root, first)
            continue
        break
    assert current_key_file(root) == key_file(root, last)
    assert number > 3
