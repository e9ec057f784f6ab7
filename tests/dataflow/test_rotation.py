"""The rotation: who gets the next request, whatever is open and whoever is able."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgesplit.dataflow.rotation import Rotation

VARIANTS = 4
ables = st.frozensets(st.integers(0, VARIANTS - 1))
steps = st.lists(st.tuples(ables, st.none() | st.integers(0, 20)), max_size=40)


def test_one_request_at_a_time_takes_every_way_in_turn() -> None:
    rotation, dealt = Rotation(3), []
    for _ in range(6):
        dealt.append(rotation.deal())
        rotation.take(dealt[-1])
    assert dealt == [0, 1, 2, 0, 1, 2]


@given(steps)
def test_the_fewest_open_are_first_among_those_that_can_answer(
    script: list[tuple[frozenset[int], int | None]],
) -> None:
    rotation = Rotation(VARIANTS)
    out: list[int] = []
    for able, ended in script:
        known = able or range(VARIANTS)
        choice = rotation.deal(able)
        assert choice in known
        assert out.count(choice) == min(out.count(variant) for variant in known)
        out.append(choice)
        if ended is not None and ended < len(out):
            rotation.take(out.pop(ended))


@given(ables, st.integers(0, VARIANTS - 1))
def test_another_attempt_goes_elsewhere_if_it_can(able: frozenset[int], left: int) -> None:
    choice = Rotation(VARIANTS).deal(able, left=left)
    assert choice == left if able == {left} else choice != left
    assert choice in (able or range(VARIANTS))


def test_a_slow_variant_gets_what_it_can_take() -> None:
    rotation, dealt = Rotation(2), []
    for _ in range(4):
        rotation.deal()
    for _ in range(10):
        # Only the second ever answers.
        rotation.take(1)
        dealt.append(rotation.deal())
    assert dealt == [1] * 10
