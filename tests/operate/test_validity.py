"""When a measurement counts: the pace that emulated devices kept, and boards at full speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from edgesplit.operate.beats import Beat, Board, Slip
from edgesplit.operate.critical import Breakdown
from edgesplit.operate.rounds import Round, device_figures
from edgesplit.operate.validity import slip_on_path, why_void

UNDER_VOLTAGE = 1
BEAT = Beat(
    device="last",
    epoch=3,
    at=1.0,
    ready=True,
    open=0,
    queue=2,
    running=None,
    busy=10.0,
    uptime=100.0,
    rss=1,
    anon_peak=7,
    computed=50,
    failed=0,
    dropped={},
    slip=Slip(0.5, 0.1, 10),
    gateways=1,
    successor=None,
    board=Board(celsius=60.0, throttled=0),
)
PATH = Breakdown(0.5, 0.3, 0.05, 0.1, 0.05, (1, 4))


def round_of(*beats: Beat, before: Mapping[str, Beat] | None = None) -> Round:
    return Round((), before or {"last": BEAT}, beats, ())


def grown(**changes: Any) -> Beat:  # noqa: ANN401 - the fields of a beat
    return replace(BEAT, busy=12.0, uptime=110.0, slip=Slip(0.9, 0.1, 30), **changes)


def test_counters_count_from_the_beat_before_the_load() -> None:
    figures = device_figures("last", (round_of(BEAT, grown()),), None)
    assert figures.slip == pytest.approx(0.4)
    assert figures.paced == 20
    assert figures.slip_mean == pytest.approx(0.02)
    assert figures.slip_share == pytest.approx(0.2)


def test_a_restarted_executor_counts_from_its_start() -> None:
    restarted = replace(grown(), uptime=5.0, slip=Slip(0.06, 0.1, 3))
    figures = device_figures("last", (round_of(restarted),), None)
    assert (figures.slip, figures.paced) == (0.06, 3)


def test_a_board_that_was_slowed_down_meanwhile_voids_a_run() -> None:
    for bits in (UNDER_VOLTAGE, UNDER_VOLTAGE << 16):
        hot = grown(board=Board(celsius=80.0, throttled=bits))
        figures = device_figures("last", (round_of(hot, grown()),), None)
        assert figures.throttled == ("under-voltage",)
        assert "last (under-voltage)" in why_void((figures,), PATH, slip=0.0, limit=0.05)


def test_a_board_that_was_slowed_down_before_doesnt() -> None:
    board = Board(celsius=60.0, throttled=UNDER_VOLTAGE << 16)
    before = {"last": replace(BEAT, board=board)}
    figures = device_figures("last", (round_of(grown(board=board), before=before),), None)
    assert figures.throttled == ()
    assert why_void((figures,), PATH, slip=0.0, limit=0.05) == ""


def test_slip_counts_where_it_is_on_the_critical_path(steady_lab: Any) -> None:  # noqa: ANN401
    table = steady_lab.record.table
    beside = replace(device_figures("right", (), None), slip=9.0, paced=3)
    on_path = replace(device_figures("left", (), None), slip=0.4, paced=20)
    path = replace(PATH, tasks=(1,))
    assert slip_on_path(table, path, (beside, on_path)) == pytest.approx(0.02)
    assert slip_on_path(table, None, (beside, on_path)) == 0.0


@pytest.mark.parametrize(("slip", "void"), [(0.0199, False), (0.0201, True)])
def test_the_limit_is_a_share_of_the_latency_without_waiting(slip: float, void: bool) -> None:
    told = why_void((), PATH, slip=slip, limit=0.05)
    assert bool(told) is void
    assert not void or "limit 5.0%" in told
