from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import adopt
from edgesplit.runtime.keys import curve_public, curve_secret
from edgesplit.runtime.program import Program
from edgesplit.runtime.release import (
    Manifest,
    Root,
    activate,
    current,
    load_program,
    purge,
    stage,
)

PROGRAM = Program("c", "d", 1, "0" * 64, "tcp://127.0.0.1:1", {}, ())


def put(root: Root, content: bytes, suffix: str) -> str:
    root.blobs.mkdir(parents=True, exist_ok=True)
    name = f"{hashlib.sha256(content).hexdigest()}.{suffix}"
    (root.blobs / name).write_bytes(content)
    return name


def manifest(root: Root, program: Program, *blobs: str) -> Manifest:
    digest = hashlib.sha256(program.to_json().encode()).hexdigest()
    return Manifest(digest, put(root, b"code", "zip").partition(".")[0], "python3", blobs)


def staged(root: Root, program: Program, *blobs: str) -> str:
    order: Mapping[str, object] = asdict(manifest(root, program, *blobs))
    return stage(root, order, program.to_json())


def test_a_staged_release_is_named_by_its_manifest_and_is_not_current(tmp_path: Path) -> None:
    root = Root(tmp_path)
    digest = staged(root, PROGRAM, put(root, b"a", "onnx"))
    assert digest == manifest(root, PROGRAM, put(root, b"a", "onnx")).digest
    assert current(root) is None


def test_activation_switches_and_returns_the_release_before(tmp_path: Path) -> None:
    root = Root(tmp_path)
    old, new = staged(root, PROGRAM), staged(root, replace(PROGRAM, epoch=2))
    assert activate(root, old) is None
    assert activate(root, new) == old
    assert load_program(root, new).epoch == 2
    assert (root.current / "program.json").read_text() == replace(PROGRAM, epoch=2).to_json()


def test_an_incomplete_release_leaves_the_old_one_current(tmp_path: Path) -> None:
    root = Root(tmp_path)
    old = staged(root, PROGRAM)
    lacking = put(root, b"gone", "weights")
    new = staged(root, PROGRAM, lacking)
    (root.blobs / lacking).unlink()
    activate(root, old)
    with pytest.raises(RuntimeFault, match=lacking[:20]):
        activate(root, new)
    assert current(root) == old


def test_activation_is_one_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is cut off before the rename leaves the old link, untouched."""
    root = Root(tmp_path)
    old, new = staged(root, PROGRAM), staged(root, replace(PROGRAM, epoch=2))
    activate(root, old)

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", power_cut)
        with pytest.raises(KeyboardInterrupt):
            activate(root, new)
    assert current(root) == old
    assert activate(root, new) == old


@pytest.mark.parametrize("file", ["program.json", "manifest.json"])
def test_a_changed_release_is_refused(tmp_path: Path, file: str) -> None:
    root = Root(tmp_path)
    digest = staged(root, PROGRAM)
    path = root.release(digest) / file
    path.write_text(path.read_text().replace('"', '" ', 1).replace("python3", "python4"))
    with pytest.raises(RuntimeFault):
        activate(root, digest)


def test_an_unknown_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match="no release abab"):
        activate(Root(tmp_path), "ab" * 32)


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


def test_purging_leaves_other_files_and_unmarked_folders_alone(tmp_path: Path) -> None:
    root = Root(tmp_path)
    activate(root, staged(root, PROGRAM))
    purge(root)
    assert current(root) is not None
    root.mark.touch()
    (tmp_path / "mine").touch()
    purge(root)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
