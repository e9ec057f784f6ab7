"""Parity weights: the sum of a layer's blocks, built into the weights of one operator.

"Robustly Executing DNNs in IoT Systems Using Coded Distributed Computing", section 5.3: the
parity device runs the same operator as the others, on weights that are `sum_i c_i * W_i`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesplit.errors import ShardError
from edgesplit.graph.model import Node
from edgesplit.plan.shard import Code

Array = NDArray[Any]
Constant = Callable[[str], Array | None]
"""Gives a constant of the model by value name; None where the value is not constant."""

# Doubles summed at once: large enough to be quick, small enough beside the weights themselves.
_CHUNK = 1 << 20


def parity_constants(
    node: Node, code: Code, rank: int, rows: tuple[int, int], constant: Constant
) -> dict[int, Array]:
    """Return the constants that turn `node` into the parity operator, by input position.

    Args:
        node: The operator that makes `code.value`: Conv, Gemm or MatMul.
        code: Blocks and coefficients.
        rank: Number of axes of `code.value`.
        rows: The rows `[lo, hi)` of the parity block that are wanted, in block coordinates.
        constant: Looks a constant up.

    Raises:
        ShardError: The operator's output is not linear in constant weights along `code.axis`.
    """
    coded = _OPERATORS.get(node.op if not node.domain else "")
    if coded is None:
        raise _refusal(node, code, "only Conv, Gemm and MatMul can be coded")
    channels = 1 if node.op == "Conv" else rank - 1
    if code.axis != channels:
        raise _refusal(node, code, f"cut on axis {code.axis} where its channels are {channels}")
    return {
        position: combine(array, axis, code, rows)
        for position, (array, axis) in coded(node, code, constant).items()
    }


def combine(array: Array, axis: int, code: Code, rows: tuple[int, int]) -> Array:
    """Return `sum_i c_i * block_i` of an array, blocks cut on `axis` and padded with zeros.

    Accumulated in float64 and rounded once to the array's dtype. `rows` are the wanted
    positions `[lo, hi)` within a block.
    """
    moved = np.moveaxis(array, axis, 0)
    lo, hi = rows
    result = np.empty((hi - lo, *moved.shape[1:]), dtype=array.dtype)
    step = max(1, _CHUNK // max(1, moved[:1].size))
    for start in range(lo, hi, step):
        stop = min(start + step, hi)
        result[start - lo : stop - lo] = _sum(moved, code, start, stop)
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def _sum(array: Array, code: Code, start: int, stop: int) -> NDArray[np.float64]:
    total = np.zeros((stop - start, *array.shape[1:]), dtype=np.float64)
    for coefficient, (lo, hi) in zip(code.coefficients, code.blocks, strict=True):
        part = array[lo + start : max(lo + start, min(hi, lo + stop))]
        total[: len(part)] += np.multiply(part, coefficient, dtype=np.float64)
    return total


def _conv(node: Node, code: Code, constant: Constant) -> dict[int, tuple[Array, int]]:
    if node.attributes.get("group", 1) != 1:
        raise _refusal(node, code, "its groups share no input")
    weights = _weights(node, code, constant)
    return {1: (weights, 0)} | _bias(node, code, constant, weights.shape[0])


def _gemm(node: Node, code: Code, constant: Constant) -> dict[int, tuple[Array, int]]:
    weights = _weights(node, code, constant)
    axis = 0 if node.attributes.get("transB", 0) else 1
    return {1: (weights, axis)} | _bias(node, code, constant, weights.shape[axis])


def _matmul(node: Node, code: Code, constant: Constant) -> dict[int, tuple[Array, int]]:
    weights = _weights(node, code, constant)
    if weights.ndim != 2:
        raise _refusal(node, code, f"its right operand has {weights.ndim} axes instead of 2")
    return {1: (weights, 1)}


_OPERATORS: Mapping[str, Callable[[Node, Code, Constant], dict[int, tuple[Array, int]]]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _weights(node: Node, code: Code, constant: Constant) -> Array:
    array = constant(node.inputs[1])
    if array is None:
        raise _refusal(node, code, "its weights are not constant")
    if array.dtype.kind != "f":
        raise _refusal(node, code, f"its weights are {array.dtype}, not floating point")
    return array


def _bias(
    node: Node, code: Code, constant: Constant, channels: int
) -> dict[int, tuple[Array, int]]:
    """Return the bias broadcast over the channels: a padded row has no bias of a shorter block."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    if not name:
        return {}
    bias = constant(name)
    if bias is None:
        raise _refusal(node, code, "its bias is not constant")
    full = np.broadcast_to(bias, (*bias.shape[:-1], channels))
    return {2: (full, full.ndim - 1)}


def _refusal(node: Node, code: Code, why: str) -> ShardError:
    return ShardError(
        f"no parity for {node.op}: {why}",
        where=f"layer output {code.value}",
        remedy="plan this layer without parity",
    )
