"""Blocks and generators, the small parts of a plan."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.errors import PlanError
from edgesplit.plan.blocks import blocks
from edgesplit.plan.generators import coefficients, promise


@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 300)), min_size=1, max_size=7),
    st.sampled_from([1, 16]),
)
def test_blocks_tile_the_channels_and_keep_the_limits(
    channels: int, devices: list[tuple[float, int]], unit: int
) -> None:
    speeds, limits = [speed for speed, _ in devices], [limit for _, limit in devices]
    found = blocks(channels, speeds, limits, unit=unit)
    possible = min(limits) >= 1 and channels >= len(devices) and sum(limits) >= channels
    assert (found is not None) == possible
    if found is not None:
        assert found[0][0] == 0
        assert found[-1][1] == channels
        assert all(one[1] == two[0] for one, two in pairwise(found))
        assert all(0 < hi - lo <= limit for (lo, hi), limit in zip(found, limits, strict=True))


@given(st.integers(1, 12), st.lists(st.floats(0.1, 10), min_size=1, max_size=4))
def test_no_other_cut_finishes_earlier(channels: int, speeds: list[float]) -> None:
    found = blocks(channels, speeds, [channels] * len(speeds))
    if found is None:
        assert channels < len(speeds)
        return
    last = max((hi - lo) / speed for (lo, hi), speed in zip(found, speeds, strict=True))
    for cuts in combinations(range(1, channels), len(speeds) - 1):
        sizes = [b - a for a, b in pairwise((0, *cuts, channels))]
        other = max(size / speed for size, speed in zip(sizes, speeds, strict=True))
        assert last <= other * (1 + 1e-9)


def test_blocks_begin_at_multiples_of_the_unit() -> None:
    assert blocks(384, [1, 1, 1], [384] * 3, unit=16) == ((0, 128), (128, 256), (256, 384))
    found = blocks(500, [1, 2], [500] * 2, unit=16)
    assert found is not None
    assert found[1][0] % 16 == 0


@pytest.mark.parametrize("k", range(2, 17))
@pytest.mark.parametrize("r", range(1, 5))
def test_any_k_rows_give_the_data(k: int, r: int) -> None:
    parity = np.array(coefficients(k, r))
    assert parity.shape == (r, k)
    assert (parity[0] == 1).all()
    assert (parity == parity.astype(np.float32)).all()
    for lost in combinations(range(k), r):
        assert abs(np.linalg.det(parity[:, lost])) > 1e-3


def test_there_is_no_code_beyond_the_table() -> None:
    with pytest.raises(PlanError, match="17 blocks and 2 parity rows"):
        coefficients(17, 2)
    assert coefficients(40, 1) == ((1.0,) * 40,)


def test_promises_grow_with_blocks_and_rows() -> None:
    assert promise(2, 1) == promise(16, 1) == 3e-6
    assert [promise(k, 2) for k in (4, 8, 12, 16)] == [5e-6, 1e-5, 2e-5, 2e-5]
    assert [promise(8, r) for r in (1, 2, 3, 4)] == [3e-6, 1e-5, 2e-5, 3e-5]
