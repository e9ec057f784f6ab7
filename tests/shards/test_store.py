from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesplit.errors import ShardError
from edgesplit.shards.store import Store


def test_a_blob_is_named_by_its_bytes_and_readable_by_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "blobs")
    digest = store.put([b"abc", memoryview(b"def")], ".weights")
    path = store.path(digest, ".weights")
    assert digest == hashlib.sha256(b"abcdef").hexdigest()
    assert path.read_bytes() == b"abcdef"
    assert path.stat().st_mode & 0o777 == 0o644
    assert store.holds(path.name, 6)
    assert not store.holds(path.name, 5)
    store.check(path.name)


def test_a_blob_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Store(tmp_path).put(chunks(), ".weights")
    assert list(tmp_path.iterdir()) == []


def test_damage_and_absence_are_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    name = f"{store.put([b'weights'], '.weights')}.weights"
    (tmp_path / name).write_bytes(b"weighty")
    with pytest.raises(ShardError, match="damaged"):
        store.check(name)
    (tmp_path / name).unlink()
    with pytest.raises(ShardError, match="missing"):
        store.check(name)


def test_memos_are_kept_by_key_and_a_torn_one_counts_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.remember("cost", "a", 1, value={"seconds": 0.5})
    assert store.recall("cost", "a", 1) == {"seconds": 0.5}
    assert store.recall("cost", "a", 2) is None
    assert store.recall("noise", "a", 1) is None
    (memo,) = (tmp_path / "memo").iterdir()
    memo.write_text("{")
    assert store.recall("cost", "a", 1) is None
