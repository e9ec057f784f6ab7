"""Clocks with offsets that the test knows and the messages only hint at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesplit.dataflow.table import GATEWAY
from edgesplit.operate.clocks import Message, align

AHEAD = {GATEWAY: 0.0, "a": 1234.5, "b": -50.0, "c": 3e5}
"""By how many seconds each device's clock is ahead of the gateway's."""
PATHS = (
    ((GATEWAY, "a", 600_000), ("a", "b", 200_000), ("b", "c", 50_000), ("c", GATEWAY, 400)),
    ((GATEWAY, "c", 30_000), ("c", "a", 7_000), ("a", GATEWAY, 4_000)),
    ((GATEWAY, "b", 90_000), ("b", GATEWAY, 40_000)),
)


def passed(seed: int, rate: float, fixed: float, jitter: float) -> Iterator[Message]:
    """Pass twenty requests, at `rate` seconds a byte and `fixed` a message, and late at random."""
    rng = np.random.default_rng(seed)
    for begin, path in ((7.0 + number, path) for number in range(20) for path in PATHS):
        now = begin
        for sender, receiver, nbytes in path:
            there = now + fixed + rate * nbytes + rng.exponential(jitter)
            yield Message(sender, receiver, now + AHEAD[sender], there + AHEAD[receiver], nbytes)
            now = there + rng.exponential(0.01)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1 << 20),
    st.sampled_from([0.0, 1e-9, 8.5e-8, 1e-6]),
    st.floats(0, 1e-3),
    st.floats(1e-5, 1e-2),
)
def test_offsets_are_found_within_their_doubt_and_satisfy_every_message(
    seed: int, rate: float, fixed: float, jitter: float
) -> None:
    messages = list(passed(seed, rate, fixed, jitter))
    clocks = align(messages)
    assert clocks.keys() == AHEAD.keys() - {GATEWAY}
    for name, clock in clocks.items():
        assert clock.doubt is not None
        assert abs(clock.offset + AHEAD[name]) <= clock.doubt + 1e-5
    offsets = {name: clock.offset for name, clock in clocks.items()} | {GATEWAY: 0.0}
    for one in messages:
        assert one.left + offsets[one.sender] <= one.arrived + offsets[one.receiver] + 1e-5


def test_what_bytes_take_on_the_wire_is_not_mistaken_for_an_offset() -> None:
    clocks = align(passed(1, rate=8.5e-8, fixed=3e-4, jitter=1e-3))
    for name, clock in clocks.items():
        assert clock.doubt is not None
        assert clock.doubt > 1e-3
        assert clock.offset == pytest.approx(-AHEAD[name], abs=1e-3)


def test_clocks_that_drift_are_aligned_nearly() -> None:
    def drifted(device: str, time: float) -> float:
        return time + (1e-4 * (time - AHEAD["b"]) if device == "b" else 0.0)

    clocks = align(
        Message(
            one.sender,
            one.receiver,
            drifted(one.sender, one.left),
            drifted(one.receiver, one.arrived),
            one.nbytes,
        )
        for one in passed(2, rate=0.0, fixed=0.0, jitter=1e-6)
    )
    for name, clock in clocks.items():
        assert clock.offset == pytest.approx(-AHEAD[name], abs=5e-3)


def test_a_device_that_only_listens_is_bounded_from_one_side() -> None:
    messages = [Message(GATEWAY, "a", 5.0, 105.0, 10), Message(GATEWAY, "a", 6.0, 106.5, 10)]
    (clock,) = align(messages).values()
    assert clock.offset == pytest.approx(-100.0, abs=1e-3)
    assert clock.doubt is None


def test_devices_that_never_met_the_gateway_have_no_offset() -> None:
    assert align([]) == {}
    assert align([Message("a", "b", 1.0, 2.0, 0)]) == {}
