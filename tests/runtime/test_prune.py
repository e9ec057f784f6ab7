"""What a device keeps, and what it deletes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_folder import DeviceFolder, supervisor_argv

from edgesplit.deploy.code import device_code
from edgesplit.errors import RuntimeFault
from edgesplit.runtime import control
from edgesplit.runtime.keys import device_public, key_file
from edgesplit.runtime.prune import prune, purge
from edgesplit.runtime.release import check_whole, commit, stage
from edgesplit.runtime.root import Root

SLEEPER = "import signal; signal.pause()"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[DeviceFolder]:
    device = DeviceFolder.made(tmp_path / "root")
    yield device
    device.stop()


@pytest.fixture
def root(device: DeviceFolder) -> Root:
    return device.root


def staged(
    device: DeviceFolder,
    epoch: int,
    blob: str,
    *,
    before: str = "",
    key: str = "",
    python: str = sys.executable,
) -> str:
    order = device.order(epoch, blob, before=before, key=key, python=python)
    plain = order.plain
    return stage(device.root, plain["manifest"], plain["program"], order.record, before)


def blobs(root: Root) -> set[str]:
    return {path.name for path in root.blobs.iterdir()}


def releases(root: Root) -> set[str]:
    return {path.name for path in root.releases.iterdir()}


def test_current_and_the_one_before_it_stay_whole(device: DeviceFolder, root: Root) -> None:
    content = {name: name.encode() * 1000 for name in ("a", "b", "c", "shared")}
    put = {name: device.put(text, "onnx") for name, text in content.items()}
    first = staged(device, 1, put["a"])
    second = staged(device, 2, put["b"], before=first)
    third = staged(device, 3, put["c"], before=second)
    for digest in (first, second, third):
        commit(root, digest)
    (root.blobs / f"{put['a']}.part").write_bytes(b"half")
    size = (root.release(first) / "program.json").stat().st_size
    freed = prune(root)["freed"]
    assert isinstance(freed, int)
    assert freed >= 2000 + 4 + size  # Two blobs that nothing names, half an upload, a release.
    assert releases(root) == {second, third}
    check_whole(root, second)
    check_whole(root, third)
    assert not blobs(root) & {put["a"], put["shared"], f"{put['a']}.part"}
    assert prune(root)["freed"] == 0


def test_what_runs_stays_whole_though_it_is_not_current(device: DeviceFolder, root: Root) -> None:
    candidate = staged(device, 4, device.put(b"new", "onnx"))
    dead = staged(device, 5, device.put(b"dead", "onnx"))
    for digest in (candidate, dead):
        control.place(root, root.slot(0 if digest == candidate else 1), digest)
    slot = root.slot(0)
    control.spawn(slot, supervisor_argv(slot.folder, SLEEPER))
    prune(root)
    assert releases(root) == {candidate}
    check_whole(root, candidate)
    assert root.slot(1).release is None
    control.stop_slot(slot)
    prune(root)
    assert releases(root) == set()


def test_an_executor_that_outlives_its_supervisor_keeps_its_release(
    device: DeviceFolder, root: Root
) -> None:
    """The kernel may take a moment to kill an executor whose supervisor has died."""
    digest = staged(device, 2, device.put(b"new", "onnx"))
    slot = root.slot(0)
    control.place(root, slot, digest)
    control.spawn(slot, supervisor_argv(slot.folder, SLEEPER))
    text = slot.state.read_text().replace('"supervisor": {"pid": ', '"supervisor": {"pid": 9')
    real = slot.state.read_text()
    slot.state.write_text(text)
    prune(root)
    slot.state.write_text(real)
    check_whole(root, digest)


def test_a_damaged_current_release_stops_all_deleting(device: DeviceFolder, root: Root) -> None:
    digest = staged(device, 1, device.put(b"a", "onnx"))
    commit(root, digest)
    (root.release(digest) / "manifest.json").write_text("{}")
    before = blobs(root), releases(root)
    with pytest.raises(RuntimeFault):
        prune(root)
    assert (blobs(root), releases(root)) == before


def test_a_damaged_release_before_is_given_up(device: DeviceFolder, root: Root) -> None:
    first = staged(device, 1, device.put(b"a", "onnx"))
    second = staged(device, 2, device.put(b"b", "onnx"), before=first)
    commit(root, second)
    (root.release(first) / "manifest.json").unlink()
    prune(root)
    assert releases(root) == {second}


def test_keys_of_kept_releases_and_the_current_key_stay(device: DeviceFolder, root: Root) -> None:
    unused = device_public(root)
    old = device_public(root, rotate=True)
    first = staged(device, 1, device.put(b"a", "onnx"), key=old)
    new = device_public(root, rotate=True)
    commit(root, first)
    prune(root)
    assert key_file(root, old).exists()
    assert key_file(root, new).exists()
    assert not key_file(root, unused).exists()
    commit(root, staged(device, 2, device.put(b"b", "onnx"), key=new))
    prune(root)
    assert not key_file(root, old).exists()
    assert device_public(root) == new


def test_environments_in_use_stay(device: DeviceFolder, root: Root) -> None:
    used, unused = root.venvs / ("a" * 64), root.venvs / ("b" * 64)
    for folder in (used, unused):
        (folder / "bin").mkdir(parents=True)
        (folder / ".complete").touch()
        (folder / "bin/python").symlink_to(sys.executable)
    python = str(used / "bin/python")
    commit(root, staged(device, 1, device.put(b"a", "onnx"), python=python))
    prune(root)
    assert [path.name for path in root.venvs.iterdir()] == [used.name]


def test_the_code_that_prunes_is_there_for_the_next_verb(device: DeviceFolder, root: Root) -> None:
    assert device.call("prune")["freed"] == 0
    assert blobs(root) == {device_code().name}
    shutil.copy(root.blobs / device_code().name, root.blobs / f"{'0' * 64}.zip")
    assert device.call("prune")["freed"] == len(device_code().content)
    assert device.call("state")["current"] is None


def test_purging_leaves_other_files_and_unmarked_folders_alone(
    device: DeviceFolder, root: Root
) -> None:
    commit(root, staged(device, 1, device.put(b"a", "onnx")))
    root.mark.unlink()
    purge(root)
    assert root.current.exists()
    root.mark.touch()
    (root.folder / "mine").touch()
    purge(root)
    assert [path.name for path in root.folder.iterdir()] == ["mine"]
