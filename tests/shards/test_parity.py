from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesplit.errors import ShardError
from edgesplit.graph.model import Node
from edgesplit.plan.shard import Code
from edgesplit.shards.parity import combine, parity_constants

Array = NDArray[Any]
CODE = Code("y", 1, ((0, 2), (2, 5), (5, 6)), (1.0, -0.5, 2.0))


def _constants(node: Node, arrays: dict[str, Array], rank: int = 2) -> dict[int, Array]:
    return parity_constants(node, CODE, rank, (0, 3), arrays.get)


def test_blocks_are_padded_to_the_longest() -> None:
    found = combine(np.arange(1, 7, dtype=np.float32), 0, CODE, (0, 3))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1 - 1.5 + 12, 2 - 2, -2.5])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 2), st.data())
def test_any_rows_of_any_axis(sizes: list[int], axis: int, data: st.DataObject) -> None:
    ends = np.cumsum(sizes).tolist()
    blocks = tuple(zip([0, *ends[:-1]], ends, strict=True))
    code = Code("y", 1, blocks, tuple(0.25 * (i + 1) for i in range(len(sizes))))
    lo = data.draw(st.integers(0, max(sizes) - 1))
    hi = data.draw(st.integers(lo + 1, max(sizes)))
    shape = [3, 4, 5]
    shape[axis] = ends[-1]
    array = np.random.default_rng(len(sizes)).standard_normal(shape).astype(np.float32)
    padded = np.zeros((len(sizes), max(sizes), *np.moveaxis(array, axis, 0).shape[1:]))
    for index, (start, end) in enumerate(blocks):
        padded[index, : end - start] = np.moveaxis(array, axis, 0)[start:end]
    expected = np.moveaxis(np.tensordot(code.coefficients, padded, 1)[lo:hi], 0, axis)
    np.testing.assert_allclose(combine(array, axis, code, (lo, hi)), expected, rtol=1e-6, atol=1e-6)


def test_a_sum_is_rounded_once() -> None:
    # In float32, 1e8 + 1 - 1e8 loses the 1.
    code = Code("y", 1, ((0, 1), (1, 2), (2, 3)), (1.0, 1.0, 1.0))
    found = combine(np.array([1e8, 1, -1e8], dtype=np.float32), 0, code, (0, 1))
    assert found.tolist() == [1.0]


@pytest.mark.parametrize("shape", [(), (1,), (6,), (1, 1), (1, 6)])
def test_a_bias_counts_only_in_the_rows_that_a_block_has(shape: tuple[int, ...]) -> None:
    node = Node("fc", "Gemm", ("x", "w", "b"), ("y",), {"transB": 1})
    bias = np.full(shape, 2.0, dtype=np.float32)
    found = _constants(node, {"w": np.ones((6, 4), np.float32), "b": bias})
    assert found[1].shape == (3, 4)
    assert found[2].ravel().tolist() == [5.0, 1.0, -1.0]


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (Node("n", "Relu", ("x",), ("y",), {}), "only Conv, Gemm and MatMul"),
        (Node("n", "Conv", ("x", "w"), ("y",), {}, "com.example"), "only Conv, Gemm and MatMul"),
        (Node("n", "Conv", ("x", "w"), ("y",), {"group": 2}), "share no input"),
        (Node("n", "MatMul", ("w", "x"), ("y",), {}), "not constant"),
        (Node("n", "Gemm", ("w", "w", "x"), ("y",), {}), "bias is not constant"),
        (Node("n", "MatMul", ("x", "q"), ("y",), {}), "not floating point"),
        (Node("n", "MatMul", ("x", "v"), ("y",), {}), "1 axes"),
    ],
)
def test_what_is_not_linear_in_its_weights_is_refused(node: Node, why: str) -> None:
    arrays: dict[str, Array] = {
        "w": np.ones((6, 6), np.float32),
        "q": np.ones((6, 6), np.int8),
        "v": np.ones(6, np.float32),
    }
    with pytest.raises(ShardError, match=why):
        _constants(node, arrays)


def test_a_cut_on_another_axis_is_refused() -> None:
    node = Node("n", "MatMul", ("x", "w"), ("y",), {})
    with pytest.raises(ShardError, match="axis 1 where its channels are 2"):
        _constants(node, {"w": np.ones((6, 6), np.float32)}, rank=3)
