from __future__ import annotations

from pathlib import Path

import pytest

from edgesplit.files import replacing


def test_the_file_is_replaced_when_the_body_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_changes_and_nothing_is_left_when_the_body_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        _fill_the_disk(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _fill_the_disk(path: Path) -> None:
    with replacing(path) as partial:
        partial.write_text("half")
        raise OSError("full")
