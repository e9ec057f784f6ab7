"""Assembly: place, add, decode, in any order of arrival."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesplit.dataflow.assembly import Assembly, Outcome, Recipe
from edgesplit.dataflow.coding import decode, decoder
from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import Flow, Group, Input, Placement, Task

Array = NDArray[Any]
# "Robustly Executing DNNs" codes by sums (r = 1); these rows stand for any code of two parities.
PARITY = ((1.0, 1.0, 1.0, 1.0), (-1.5, -0.5, 0.5, 1.5))


def task(*inputs: Input) -> Task:
    return Task(0, "t", "s", "d", inputs, ())


def flow(number: int, shape: tuple[int, ...], dtype: str = "float32") -> Flow:
    return Flow(number, "y", Region.full(shape), dtype, ("a",), ("d",))


def need(shape: tuple[int, ...], *groups: Group, name: str = "y", dtype: str = "float32") -> Input:
    return Input(name, "y", Region.full(shape), dtype, groups)


def blocks(widths: list[int]) -> tuple[Placement, ...]:
    """Blocks of these widths, side by side on axis 1."""
    edges = np.cumsum([0, *widths]).tolist()
    return tuple(
        Placement(Region.full((1, w)), Region((0, lo), (1, lo + w)))
        for w, lo in zip(widths, edges, strict=False)
    )


def padded(rows: list[Array]) -> Array:
    longest = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, longest - row.shape[1]))) for row in rows])


@st.composite
def coded(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Widths of the data rows, number of parity rows, a seed."""
    k = draw(st.integers(1, 4))
    widths = draw(st.lists(st.integers(1, 9), min_size=k, max_size=k))
    return widths, draw(st.integers(1, 2)), draw(st.integers(0, 2**32 - 1))


@settings(deadline=None)
@given(coded())
def test_any_k_of_the_rows_form_the_data(case: tuple[list[int], int, int]) -> None:
    widths, r, seed = case
    k = len(widths)
    generator = np.random.default_rng(seed)
    data = [generator.standard_normal((1, w)).astype(np.float32) for w in widths]
    parity = tuple(row[:k] for row in PARITY[:r])
    rows = [*data, *(np.asarray(p, np.float32)[None] @ padded(data) for p in parity)]
    flows = {i: flow(i, row.shape) for i, row in enumerate(rows)}
    group = Group(tuple((i,) for i in flows), blocks(widths), parity)
    whole = np.hstack(data)
    for present in combinations(range(k + r), k):
        assembly = Assembly(Recipe(task(need(whole.shape, group)), flows))
        order = generator.permutation(present).tolist()
        outcomes = [assembly.offer(i, rows[i]) for i in order]
        assert outcomes == [Outcome.ACCEPTED] * (k - 1) + [Outcome.FORMED]
        lost = set(range(k)) - set(present)
        assert assembly.recovered == bool(lost)
        np.testing.assert_allclose(assembly.feeds()["y"], whole, atol=2e-5)
        kept = [np.s_[lo : lo + w] for lo, w in zip(np.cumsum([0, *widths]), widths, strict=False)]
        for row in set(range(k)) - lost:
            assert np.array_equal(assembly.feeds()["y"][0, kept[row]], data[row][0])
        assert {assembly.offer(i, rows[i]) for i in flows} == {Outcome.LATE}


@given(st.permutations(range(5)), st.integers(0, 2**32 - 1))
def test_sums_do_not_depend_on_the_order_of_arrival(order: list[int], seed: int) -> None:
    terms = np.random.default_rng(seed).standard_normal((5, 1, 7)).astype(np.float32)
    flows = {i: flow(i, (1, 7)) for i in range(5)}
    group = Group((tuple(range(5)),), blocks([7]))
    sums = []
    for arrival in (range(5), order):
        assembly = Assembly(Recipe(task(need((1, 7), group)), flows))
        outcomes = [assembly.offer(i, terms[i]) for i in arrival]
        assert outcomes == [Outcome.ACCEPTED] * 4 + [Outcome.FORMED]
        sums.append(assembly.feeds()["y"].tobytes())
    assert sums[0] == sums[1]


@given(st.permutations(range(6)))
def test_rows_of_terms_decode_too(order: list[int]) -> None:
    """Two data rows and their sum, each the sum of two terms; any two whole rows are enough."""
    generator = np.random.default_rng(3)
    terms = generator.standard_normal((6, 1, 4)).astype(np.float32)
    terms[4], terms[5] = terms[0] + terms[2], terms[1] + terms[3]
    group = Group(((0, 1), (2, 3), (4, 5)), blocks([4, 4]), ((1.0, 1.0),))
    assembly = Assembly(Recipe(task(need((1, 8), group)), {i: flow(i, (1, 4)) for i in range(6)}))
    for count, number in enumerate(order, 1):
        done = {row for row in range(3) if {2 * row, 2 * row + 1} <= set(order[:count])}
        assembly.offer(number, terms[number])
        assert assembly.formed == (len(done) >= 2)
    whole = np.hstack([terms[0] + terms[1], terms[2] + terms[3]])
    np.testing.assert_allclose(assembly.feeds()["y"], whole, atol=1e-5)


def test_a_second_arrival_changes_nothing() -> None:
    group = Group(((0,), (1,)), blocks([2, 2]))
    assembly = Assembly(Recipe(task(need((1, 4), group)), {i: flow(i, (1, 2)) for i in range(2)}))
    assert assembly.offer(0, np.ones((1, 2), np.float32)) is Outcome.ACCEPTED
    assert assembly.offer(0, np.full((1, 2), 9, np.float32)) is Outcome.LATE
    assert assembly.offer(7, np.ones((1, 2), np.float32)) is Outcome.FOREIGN
    assert assembly.offer(1, np.ones((1, 2), np.float32)) is Outcome.FORMED
    assert assembly.feeds()["y"].tolist() == [[1, 1, 1, 1]]


def test_one_flow_may_feed_several_inputs_and_boxes_of_any_kind() -> None:
    source = Region((0, 1), (2, 3))
    crop = Group(((0,),), (Placement(source, Region.full((2, 2))),))
    full = Group(((0,),), (Placement(Region.full((2, 3)), Region.full((2, 3))),))
    flows = {0: flow(0, (2, 3), "uint8")}
    inputs = (
        need((2, 2), crop, name="crop", dtype="uint8"),
        need((2, 3), full, name="all", dtype="uint8"),
    )
    assembly = Assembly(Recipe(task(*inputs), flows))
    data = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert assembly.offer(0, data) is Outcome.FORMED
    assert assembly.feeds()["crop"].tolist() == [[1, 2], [4, 5]]
    assert assembly.feeds()["all"].tolist() == data.tolist()


def test_a_scalar_is_a_value_too() -> None:
    box = Region.full(())
    group = Group(((0,),), (Placement(box, box),))
    assembly = Assembly(Recipe(task(need((), group)), {0: flow(0, ())}))
    assert assembly.offer(0, np.float32(3) * np.ones((), np.float32)) is Outcome.FORMED
    assert assembly.feeds()["y"] == 3


def test_recoveries_upstream_count_on_the_longest_way() -> None:
    group = Group(((0,), (1,)), blocks([1, 1]))
    assembly = Assembly(Recipe(task(need((1, 2), group)), {i: flow(i, (1, 1)) for i in range(2)}))
    assembly.offer(0, np.ones((1, 1), np.float32), recovered=2)
    assembly.offer(1, np.ones((1, 1), np.float32), recovered=1)
    assert assembly.recovered == 2


@pytest.mark.parametrize("present", [frozenset({0}), frozenset({1, 4}), frozenset({4, 5})])
def test_too_few_rows_have_no_decoder(present: frozenset[int]) -> None:
    assert decoder(PARITY, 4, present) is None


def test_the_decoder_prefers_the_parity_of_least_noise() -> None:
    both = decoder(PARITY, 4, frozenset({0, 2, 3, 4, 5}))
    gains = [decoder(PARITY, 4, frozenset({0, 2, 3, j})) for j in (4, 5)]
    assert both is not None
    assert both.gain == min(choice.gain for choice in gains if choice is not None)
    assert both.lost == (1,)


def test_decoding_pads_short_rows_with_zeros() -> None:
    plan = decoder(((1.0, 1.0),), 2, frozenset({0, 2}))
    assert plan is not None
    rows = {0: np.array([[1.0]], np.float32), 2: np.array([[3.0, 5.0]], np.float32)}
    assert decode(plan, rows, (1, 2))[1].tolist() == [[2.0, 5.0]]
