"""What a cost database says of kernels that run in one session."""

from __future__ import annotations

import pytest

from edgesplit.cost.database import Database, Point, Session
from edgesplit.cost.kernel import Kernel


def kernel(size: int, form: str = "3x3") -> Kernel:
    return Kernel("Conv", form, size, macs=size * 9, weights=36, moved=size * 8)


ROW = (kernel(100), kernel(200), kernel(100, "1x1"))
DOUBLE = tuple(kernel(2 * one.size, one.form) for one in ROW)
APART = Database("board").with_points(Point(one, one.size / 1e6) for one in (*ROW, *DOUBLE))


def test_kernels_of_which_no_session_was_measured_take_their_sum() -> None:
    assert APART.together(ROW) == pytest.approx(400e-6)
    assert APART.with_sessions([Session(ROW[:2], 1e-4)]).together(ROW) == pytest.approx(400e-6)


def test_a_session_takes_what_it_took_whatever_the_order() -> None:
    known = APART.with_sessions([Session(ROW, 3e-4)])
    assert known.together(ROW) == known.together(ROW[::-1]) == 3e-4
    assert known.measured(ROW)
    assert not known.measured(DOUBLE)


def test_sessions_of_the_same_forms_take_the_same_part_of_their_sum() -> None:
    known = APART.with_sessions([Session(ROW, 3e-4)])
    assert known.together(DOUBLE) == pytest.approx(6e-4)
    both = known.with_sessions([Session(DOUBLE, 8e-4)])
    between = tuple(kernel(round(1.4142 * one.size), one.form) for one in ROW)
    ratio = both.together(between) / sum(map(both.seconds, between))
    assert ratio == pytest.approx(0.875, rel=0.01)


def test_the_newest_of_the_same_session_counts() -> None:
    known = APART.with_sessions([Session(ROW, 3e-4)]).with_sessions([Session(ROW[::-1], 2e-4)])
    assert known.together(ROW) == 2e-4
    assert len(known.sessions) == 1


def test_a_session_took_a_part_of_what_its_kernels_take_apart() -> None:
    assert APART.joint(Session(ROW, 3e-4)) == pytest.approx(0.75)


def test_a_session_of_one_kernel_is_a_point() -> None:
    known = APART.knowing([Session(ROW[:1], 7e-4), Session(ROW, 3e-4)])
    assert known.seconds(ROW[0]) == pytest.approx(7e-4)
    assert known.measured(ROW[:1])
    assert known.together(ROW) == 3e-4
