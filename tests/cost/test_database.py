"""What a cost database says of kernels that were measured, and of those that were not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.cost.database import Database, Point, Rate
from edgesplit.cost.kernel import Kernel


def kernel(size: int, form: str = "3x3", op: str = "Conv", per: int = 9) -> Kernel:
    return Kernel(op, form, size, macs=size * per, weights=per * 4, moved=size * 8)


def database(*points: Point) -> Database:
    return Database("board").with_points(points)


rates = st.builds(
    Rate,
    start=st.floats(1e-6, 1e-3),
    mac=st.floats(1e-11, 1e-9),
    weight=st.floats(1e-10, 1e-8),
    moved=st.floats(1e-10, 1e-8),
)


@given(rates, st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 999)), min_size=1))
def test_what_was_measured_is_told_again(rate: Rate, drawn: list[tuple[int, int]]) -> None:
    kernels = {kernel(size, form=str(per), per=per) for size, per in drawn}
    found = database(*(Point(one, rate.seconds(one)) for one in kernels))
    for one in kernels:
        assert found.seconds(one) == pytest.approx(rate.seconds(one))


@given(rates)
def test_a_line_is_found_from_points_on_it(rate: Rate) -> None:
    grid = [(size, per) for size in (10**3, 10**4, 10**5, 10**6) for per in (9, 90, 900)]
    known = [kernel(size, form=f"{per}", per=per) for size, per in grid]
    found = database(*(Point(one, rate.seconds(one)) for one in known))
    unseen = kernel(50_000, form="300", per=300)
    assert not found.knows(unseen)
    assert found.seconds(unseen) == pytest.approx(rate.seconds(unseen), rel=0.05)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(1e-6, 1)), min_size=1, max_size=20))
def test_no_coefficient_is_negative(drawn: list[tuple[int, float]]) -> None:
    found = database(*(Point(kernel(size), seconds) for size, seconds in drawn))
    for rate in found.rates.values():
        assert min(rate.start, rate.mac, rate.weight, rate.moved) >= 0


def test_between_two_sizes_a_form_is_between_their_efficiencies() -> None:
    # The larger is four times as fast an element as the smaller.
    found = database(Point(kernel(1000), 4e-3), Point(kernel(100_000), 100e-3))
    assert 1e-6 < found.seconds(kernel(10_000)) / 10_000 < 4e-6


def test_an_operator_that_nobody_measured_goes_by_all_of_them() -> None:
    found = database(Point(kernel(1000), 1e-3), Point(kernel(2000), 2e-3))
    assert found.seconds(kernel(1500, op="Resize")) == pytest.approx(1.5e-3, rel=0.2)


def test_the_newest_point_of_a_kernel_counts() -> None:
    found = database(Point(kernel(1000), 1e-3)).with_points([Point(kernel(1000), 3e-3)])
    assert found.seconds(kernel(1000)) == pytest.approx(3e-3)
    assert len(found.points) == 1
