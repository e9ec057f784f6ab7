"""The bits that a Raspberry Pi's firmware shows."""

from __future__ import annotations

import pytest

from edgesplit.spec.throttling import throttled_between, throttled_now, throttled_since_boot

UNDER_VOLTAGE, THROTTLED = 1 << 0, 1 << 2


def test_what_is_and_what_was() -> None:
    bits = UNDER_VOLTAGE | THROTTLED << 16
    assert throttled_now(bits) == ("under-voltage",)
    assert throttled_since_boot(bits) == ("throttled",)


def test_a_board_that_tells_nothing_is_not_slowed_down() -> None:
    assert throttled_now(None) == throttled_since_boot(None) == ()
    assert throttled_between(None, None) == ()


@pytest.mark.parametrize(
    ("before", "later", "reasons"),
    [
        (0, UNDER_VOLTAGE, ("under-voltage",)),
        (0, THROTTLED << 16, ("throttled",)),
        (THROTTLED << 16, THROTTLED << 16, ()),
        (None, THROTTLED << 16, ("throttled",)),
        (THROTTLED << 16, THROTTLED << 16 | UNDER_VOLTAGE, ("under-voltage",)),
    ],
)
def test_only_what_came_meanwhile_counts(
    before: int | None, later: int, reasons: tuple[str, ...]
) -> None:
    assert throttled_between(before, later) == reasons
