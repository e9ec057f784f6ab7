from __future__ import annotations

from pathlib import Path

from edgesplit.runtime.board import EVERY, Board


def test_a_board_that_tells_is_read_now_and_then(tmp_path: Path) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    firmware = tmp_path / "devices/platform/soc/soc:firmware"
    for folder in (zone, firmware):
        folder.mkdir(parents=True)
    (zone / "temp").write_text("48312\n")
    (firmware / "get_throttled").write_text("50005\n")
    board = Board(tmp_path)
    assert board.read(1.0) == {"celsius": 48.312, "throttled": 0x50005}
    (zone / "temp").write_text("60000\n")
    assert board.read(0.9 + EVERY)["celsius"] == 48.312
    assert board.read(1.0 + EVERY)["celsius"] == 60.0


def test_a_board_that_does_not_tell_is_no_trouble(tmp_path: Path) -> None:
    assert Board(tmp_path).read(0.0) == {"celsius": None, "throttled": None}
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("hot\n")
    assert Board(tmp_path).read(0.0)["celsius"] is None
