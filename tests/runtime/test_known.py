"""Known answers: the same inputs everywhere, and a wrong computer is found out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.dataflow.table import Port
from edgesplit.runtime.known import SAMPLES, TOLERANCE, agrees, known_inputs, sample

DIGEST = "ab" * 32


def test_inputs_are_the_same_on_every_machine() -> None:
    """Written down: another version of numpy must not change them."""
    made = known_inputs((Port("x", (2, 2), "float32"), Port("i", (4,), "int64")), DIGEST)
    assert made["x"].tolist() == [[-0.328125, 0.078125], [0.6875, -0.9296875]]
    assert made["i"].tolist() == [1, 0, 0, 0]
    assert [str(array.dtype) for array in made.values()] == ["float32", "int64"]


def test_inputs_depend_on_the_shard_and_the_name_and_not_on_the_order() -> None:
    ports = (Port("x", (64,), "float32"), Port("z", (64,), "float32"))
    made, turned = known_inputs(ports, DIGEST), known_inputs(ports[::-1], DIGEST)
    assert all(np.array_equal(made[name], turned[name]) for name in made)
    assert not np.array_equal(made["x"], made["z"])
    assert not np.array_equal(made["x"], known_inputs(ports, "cd" * 32)["x"])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int32", "bool"])
def test_inputs_are_in_a_sane_range(dtype: str) -> None:
    array = known_inputs((Port("x", (1000,), dtype),), DIGEST)["x"]
    assert str(array.dtype) == dtype
    low, high = (-1, 1) if array.dtype.kind == "f" else (0, 255 if dtype == "uint8" else 1)
    assert low <= array.min() < array.max() <= high


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200),
    st.integers(0, 199),
)
def test_noise_agrees_and_a_wrong_element_does_not(values: list[float], at: int) -> None:
    array = np.array(values, np.float32)
    known = sample(array)
    scale = float(np.abs(array).max())
    assert agrees(array, known)
    assert agrees(array + np.float32(scale * TOLERANCE / 4), known)
    picked = np.arange(min(SAMPLES, array.size)) * array.size // min(SAMPLES, array.size)
    wrong = array.astype(np.float64)
    wrong[picked[at % len(picked)]] += scale * 0.01 + 1.0
    assert not agrees(wrong, known)
    wrong[:] = np.nan
    assert not agrees(wrong, known)


def test_what_is_not_finite_proves_nothing() -> None:
    array = np.array([np.nan, np.inf, 2.0], np.float32)
    known = sample(array)
    assert known == {"scale": 2.0, "samples": [None, None, 2.0]}
    assert agrees(array, known)
    assert agrees(np.array([0.0, 0.0, 2.0], np.float32), known)
    assert not agrees(np.array([0.0, 0.0, 2.1], np.float32), known)


def test_another_size_never_agrees_and_an_integer_may_round_the_other_way() -> None:
    array = np.array([1, 250, 3], np.uint8)
    assert agrees(array + np.uint8(1), sample(array))
    assert not agrees(array + np.uint8(2), sample(array))
    assert not agrees(array[:2], sample(array))
