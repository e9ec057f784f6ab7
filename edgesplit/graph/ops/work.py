"""How much arithmetic an operator does."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Node, Value

_CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "QLinearConv"})
_PRODUCTS = frozenset({"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})

HEAVY = _CONVOLUTIONS | _PRODUCTS | _RECURRENT | {"ConvTranspose", "DeformConv", "Einsum"}
"""Operators that begin a layer."""

_QUANTISED = frozenset({"QLinearConv", "QLinearMatMul"})


def macs(values: Mapping[str, Value], node: Node, out: Region) -> int:
    """Return the multiply-accumulates of a box of the first output; 0 for light operators."""
    if node.op not in HEAVY or node.opaque:
        return 0
    first, *rest = (values[name].shape for name in node.inputs if name)
    weights = rest[2 if node.op in _QUANTISED else 0] if rest else ()
    if node.op in _CONVOLUTIONS:
        return out.size * prod(weights[1:])
    if node.op in _PRODUCTS:
        return out.size * (first[0] if node.attributes.get("transA", 0) else first[-1])
    full = values[node.outputs[0]].region.size if node.outputs[0] else 0
    return _whole(values, node, first, weights) * out.size // max(1, full or out.size)


def _whole(
    values: Mapping[str, Value], node: Node, first: tuple[int, ...], weights: tuple[int, ...]
) -> int:
    """Return the multiply-accumulates of a whole operator that works through its weights."""
    if node.op == "ConvTranspose":
        return prod(first) * prod(weights[1:])
    constants = (values[name] for name in node.inputs if name and values[name].constant)
    size = sum(value.region.size for value in constants if len(value.shape) > 1)
    return size * prod(first[:-1] if node.op in _RECURRENT else first[:1])
