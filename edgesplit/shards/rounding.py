"""Rounding as ONNX nodes: a float32 value into its encoding, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgesplit.graph.model import Encoding

QUANTISING = "com.microsoft"
"""The domain of ONNX Runtime's own QuantizeLinear, which models of any opset may use."""

Constant = Callable[[str, NDArray[Any]], ir.Value]
"""Makes a constant of the sub-model, from its name and what it holds."""

_CLIP_BY_INPUTS = 11
_LARGEST = float(np.finfo(np.float16).max)


def encode(
    value: ir.Value, output: ir.Value, encoding: Encoding, opset: int, constant: Constant
) -> list[ir.Node]:
    """Return the nodes that make `output`, a float32 value in its encoding."""
    if encoding.dtype == "uint8":
        numbers = _numbers(output, encoding, constant)
        return [_node("QuantizeLinear", [value, *numbers], output, domain=QUANTISING)]
    # Beyond its range a cast would make infinities.
    finite = ir.Value(name=f"{output.name}(finite)")
    return [_clip(value, finite, opset, constant), _cast(finite, output, ir.DataType.FLOAT16)]


def decode(
    value: ir.Value, output: ir.Value, encoding: Encoding, constant: Constant
) -> list[ir.Node]:
    """Return the nodes that make `output`, the float32 value that an encoded one stands for."""
    if encoding.dtype == "uint8":
        numbers = _numbers(output, encoding, constant)
        return [_node("DequantizeLinear", [value, *numbers], output, domain=QUANTISING)]
    return [_cast(value, output, ir.DataType.FLOAT)]


def _numbers(output: ir.Value, encoding: Encoding, constant: Constant) -> list[ir.Value]:
    return [
        constant(f"{output.name}(scale)", np.array(encoding.scale, dtype=np.float32)),
        constant(f"{output.name}(zero)", np.array(encoding.zero, dtype=np.uint8)),
    ]


def _clip(value: ir.Value, output: ir.Value, opset: int, constant: Constant) -> ir.Node:
    """Return a Clip to what float16 can hold; before opset 11 its bounds are attributes."""
    bounds = {"min": -_LARGEST, "max": _LARGEST}
    if opset < _CLIP_BY_INPUTS:
        attributes = [ir.AttrFloat32(name, bound) for name, bound in bounds.items()]
        return _node("Clip", [value], output, attributes)
    limits = (constant(f"float16({n})", np.array(b, np.float32)) for n, b in bounds.items())
    return _node("Clip", [value, *limits], output)


def _cast(value: ir.Value, output: ir.Value, dtype: ir.DataType) -> ir.Node:
    return _node("Cast", [value], output, [ir.AttrInt64("to", dtype)])


def _node(
    op: str,
    inputs: list[ir.Value],
    output: ir.Value,
    attributes: list[ir.Attr] | None = None,
    domain: str = "",
) -> ir.Node:
    name = f"{op} {output.name}"
    return ir.Node(domain, op, inputs, attributes or [], outputs=[output], name=name)
