"""How long to go on measuring: until nothing disturbed it, and not for ever."""

from __future__ import annotations

import pytest

from edgesplit.runtime.stopwatch import Patience

PATIENCE = Patience(least=3, seconds=0.2, longest=1.0, most=50)


@pytest.mark.parametrize(
    ("times", "enough", "why"),
    [
        ([], False, "nothing was measured"),
        ([2.0, 2.0], False, "two runs are too few, however long"),
        ([0.01] * 3, False, "more runs cost little"),
        ([0.1, 0.1, 0.1], True, "the fastest agree"),
        ([0.1, 0.101, 0.3], True, "the fastest agree nearly"),
        ([0.1, 0.2, 0.3], False, "the fastest was lucky, or the others were not"),
        ([0.1, 0.2, 0.3, 0.4], True, "it has taken long enough"),
        ([1e-5] * 50, True, "there were runs enough"),
    ],
)
def test_when_it_ends(times: list[float], enough: bool, why: str) -> None:
    assert PATIENCE.ends(times) is enough, why
