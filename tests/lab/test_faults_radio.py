"""The wireless link as a pure model: delays, losses and their order."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.lab.bed import Shape
from edgesplit.lab.presets import WIFI
from edgesplit.lab.radio import SPELL, channels

COMPUTE = 50e-3
REQUESTS = 40_000


def arrivals(shape: Shape) -> list[float]:
    """Return when the answers to single requests are there: sent, computed, sent back."""
    there, back = channels(shape)
    found = []
    for number in range(REQUESTS):
        start = 10.0 * number  # Long after the one before.
        came = there.send(start)
        assert came is not None
        answer = back.send(came + COMPUTE)
        assert answer is not None
        found.append(answer - start)
    return sorted(found)


def share_within(found: list[float], seconds: float) -> float:
    return sum(each <= seconds for each in found) / len(found)


def test_wifi_answers_arrive_as_in_the_papers_first_figure() -> None:
    found = arrivals(WIFI)
    assert found[0] >= COMPUTE + 2 * WIFI.delay
    assert share_within(found, 0.1) == pytest.approx(0.34, abs=0.01)
    assert 0.005 < 1 - share_within(found, 0.3) < 0.03
    assert found[-1] > 0.4


def test_the_tail_is_exponential() -> None:
    link = channels(Shape(rate=1e6, delay=1e-3, tail=10e-3, seed=3))[0]
    delays = [(link.send(float(now)) or math.nan) - now for now in range(REQUESTS)]
    for quantile in (0.5, 0.9, 0.99):
        expected = 1e-3 - 10e-3 * math.log(1 - quantile)
        assert sorted(delays)[int(quantile * REQUESTS)] == pytest.approx(expected, rel=0.05)


def test_a_seed_decides_all_and_directions_differ() -> None:
    once, again = arrivals(WIFI)[:50], arrivals(WIFI)[:50]
    assert once == again
    assert once != arrivals(replace(WIFI, seed=1))[:50]
    inward, outward = channels(WIFI)
    assert [inward.send(t) for t in (0, 1)] != [outward.send(t) for t in (0, 1)]


def test_frames_of_one_message_share_its_delay() -> None:
    link = channels(Shape(rate=1e6, tail=0.1, seed=5))[0]
    sent = [number * 1e-3 for number in range(6)]
    came = [link.send(now) for now in sent]
    assert came == pytest.approx([(came[0] or 0.0) + now for now in sent])


def test_a_new_spell_has_a_delay_of_its_own() -> None:
    link = channels(Shape(rate=1e6, tail=0.1, seed=5))[0]
    first, later = link.send(0.0), link.send(1000 * SPELL)
    assert first is not None
    assert later is not None
    assert later - 1000 * SPELL != pytest.approx(first)


@given(
    shape=st.builds(
        Shape,
        rate=st.just(1e6),
        delay=st.floats(0, 0.1),
        tail=st.floats(0, 1),
        loss=st.floats(0, 1),
        seed=st.integers(),
    ),
    gaps=st.lists(st.floats(0, 0.1), max_size=50),
)
def test_frames_stay_in_order_and_none_is_too_early(shape: Shape, gaps: list[float]) -> None:
    link, now, last = channels(shape)[0], 0.0, 0.0
    for gap in gaps:
        now += gap
        came = link.send(now)
        if came is not None:
            assert came >= max(last, now + shape.delay)
            last = came


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.3, 0.9, 1.0])
def test_losses_have_their_share(loss: float) -> None:
    link = channels(Shape(rate=1e6, loss=loss, seed=1))[0]
    lost = [link.send(float(now)) is None for now in range(100_000)]
    assert sum(lost) / len(lost) == pytest.approx(loss, rel=0.15)


def test_losses_come_in_bursts() -> None:
    link = channels(Shape(rate=1e6, loss=0.05, seed=1))[0]
    lost = [link.send(float(now)) is None for now in range(100_000)]
    bursts = [len(list(run)) for gone, run in groupby(lost) if gone]
    assert sum(bursts) / len(bursts) == pytest.approx(3, rel=0.1)
