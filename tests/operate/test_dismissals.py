from __future__ import annotations

import math

from edgesplit.operate.dismissals import PATIENCE, Dismissals


def test_what_a_later_open_covers_is_never_said() -> None:
    owed = Dismissals()
    for number in (3, 5, 4):
        owed.owe(number, attempt=0, now=1.0, deadline=9.0)
    owed.told(lowest=5)
    assert [one.request for one in owed.take(math.inf)] == [5]
    assert owed.next_due() is None


def test_what_nothing_covers_is_said_once_when_it_is_due() -> None:
    owed = Dismissals()
    owed.owe(0, attempt=1, now=1.0, deadline=9.0)
    owed.owe(1, attempt=0, now=2.0, deadline=9.0)
    assert owed.next_due() == 1.0 + PATIENCE
    assert owed.take(1.0) == []
    (said,) = owed.take(1.5)
    assert (said.request, said.attempt, said.deadline) == (0, 1, 9.0)
    assert owed.take(1.5) == []
    assert owed.next_due() == 2.0 + PATIENCE


def test_each_variant_is_told_for_itself() -> None:
    owed = Dismissals()
    owed.owe(0, 0, 1.0, 9.0, frozenset({0, 1}))
    owed.owe(1, 0, 1.0, 9.0, frozenset({1}))
    owed.told(lowest=2, variant=1)
    (left,) = owed.take(math.inf)
    assert (left.request, left.variants) == (0, frozenset({0}))
    owed.owe(2, 0, 1.0, 9.0, frozenset({0, 1}))
    owed.told(lowest=3, variant=0)
    owed.told(lowest=3, variant=1)
    assert not owed
