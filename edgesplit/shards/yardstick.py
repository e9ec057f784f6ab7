"""The yardstick: a small convolution, the kind of work that models are mostly made of."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_CHANNELS, _EXTENT, _KERNEL = 64, 56, 3
_FEW = 61


def yardstick() -> bytes:
    """Return the yardstick as an ONNX file: 116 million multiply-accumulates, 1.6 MB of maps."""
    shape = ir.Shape([1, _CHANNELS, _EXTENT, _EXTENT])
    x, y = (ir.Value(name=name, shape=shape, type=_FLOAT) for name in ("x", "y"))
    # Numbers that come again compress well, and cost no less.
    few = np.random.default_rng(0).uniform(-0.05, 0.05, _FEW)
    numbers = np.resize(few, (_CHANNELS, _CHANNELS, _KERNEL, _KERNEL))
    weights = ir.Value(
        name="weights",
        shape=ir.Shape(numbers.shape),
        type=_FLOAT,
        const_value=ir.tensor(numbers.astype(np.float32), name="weights"),
    )
    pads = ir.AttrInt64s("pads", [_KERNEL // 2] * 4)
    node = ir.Node("", "Conv", [x, weights], [pads], outputs=[y])
    body = ir.Graph(
        [x], [y], nodes=[node], initializers=[weights], opset_imports={"": 13}, name="yardstick"
    )
    proto = ir.to_proto(ir.Model(body, ir_version=8))
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


_FLOAT = ir.TensorType(ir.DataType.FLOAT)
