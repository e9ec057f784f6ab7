"""Random small models: chains of windows, and graphs with branches, skips and heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import random_moves as moves
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from onnxruntime.capi import onnxruntime_pybind11_state as failures
from small_models import Draft

_REFUSED = (failures.Fail, failures.InvalidArgument, failures.RuntimeException)
CHAIN_OPS = ["Conv", "Conv", "MaxPool", "AveragePool", "Relu", "LRN"]
PADS = st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])


@st.composite
def conv_attributes(draw: st.DrawFn, axes: int) -> dict[str, Any]:
    kernel = draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    found: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)),
        "dilations": draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes)),
        "auto_pad": draw(PADS),
    }
    if found["auto_pad"] == "NOTSET":
        found["pads"] = draw(st.lists(st.integers(0, 3), min_size=2 * axes, max_size=2 * axes))
    return found


@st.composite
def pool_attributes(draw: st.DrawFn, axes: int, op: str) -> dict[str, Any]:
    found = draw(conv_attributes(axes))
    if op == "AveragePool":
        del found["dilations"]
        found["count_include_pad"] = draw(st.integers(0, 1))
    if found["auto_pad"] == "NOTSET":
        found["ceil_mode"] = draw(st.integers(0, 1))
        found["pads"] = [
            min(pad, k - 1) for pad, k in zip(found["pads"], 2 * found["kernel_shape"], strict=True)
        ]
    return found


def add_conv(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    group = data.draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
    maps = group * data.draw(st.integers(1, 3))
    attributes = data.draw(conv_attributes(axes))
    weights = model.weight(maps, channels // group, *attributes["kernel_shape"], scale=0.3)
    model.add("Conv", weights, model.weight(maps), group=group, **attributes)
    return maps


def add_step(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    op = data.draw(st.sampled_from(CHAIN_OPS if axes == 2 else CHAIN_OPS[:-1]))
    if op == "Conv":
        return add_conv(model, data, channels, axes)
    if op == "Relu":
        model.add(op)
    elif op == "LRN":
        model.add(op, size=data.draw(st.sampled_from([1, 3, 5])), alpha=0.5, beta=0.75, bias=1.0)
    else:
        model.add(op, **data.draw(pool_attributes(axes, op)))
    return channels


def runs(model: Draft) -> bool:
    """Tell whether ONNX Runtime takes the model at all: windows may outgrow their maps."""
    if not model.nodes:
        return False
    try:
        plain = ort.InferenceSession(model.model().SerializeToString(), quiet())
        (found,) = plain.run(None, {"x": model.x()})
    except _REFUSED:
        return False
    return bool(found.size)


def quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def draw_graph(data: DataObject) -> Draft:
    """Draw a model of up to seven steps, with branches and skips, perhaps with a head."""
    axes = data.draw(st.sampled_from([1, 2, 2, 2, 3]))
    channels = data.draw(st.integers(1, 6))
    extents = data.draw(st.lists(st.integers(7, 14), min_size=axes, max_size=axes))
    model = Draft(
        (1, channels, *extents),
        opset=data.draw(st.sampled_from(OPSETS)),
        seed=data.draw(st.integers(0, 9)),
    )
    for _ in range(data.draw(st.integers(1, 5))):
        step = data.draw(st.sampled_from(STEPS))
        channels = step(model, data, channels, axes)
    if data.draw(st.booleans()):
        _head(model, data)
    return model


def _skip(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    """Add what is there to a convolution of itself."""
    before = model.at
    _same_conv(model, channels, channels, axes)
    model.add("Relu")
    model.add(data.draw(st.sampled_from(["Add", "Mul"])), before)
    return channels


def _branch(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    """Join a convolution of what is there with another, or with itself."""
    before = model.at
    maps = data.draw(st.integers(1, 3))
    _same_conv(model, channels, maps, axes)
    other = model.at
    model.at = before
    if data.draw(st.booleans()):
        _same_conv(model, channels, channels, axes)
    model.add("Concat", inputs=[model.at, other], axis=1)
    return channels + maps


def _upsample(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    maps = data.draw(st.integers(1, 4))
    weights = model.weight(channels, maps, *[2] * axes, scale=0.3)
    model.add("ConvTranspose", weights, model.weight(maps), strides=[2] * axes)
    return maps


def _light(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    op = data.draw(st.sampled_from(["BatchNormalization", "Softmax", "Sigmoid", "Transpose"]))
    if op == "BatchNormalization":
        parts = [model.constant(np.full(channels, 0.5 + i, np.float32)) for i in range(4)]
        model.add(op, *parts)
    elif op == "Transpose":
        model.add(op, perm=[0, 1, *range(axes + 1, 1, -1)])
    elif op == "Softmax":
        model.add(op, axis=1)
    else:
        model.add(op)
    return channels


def _same_conv(model: Draft, channels: int, maps: int, axes: int) -> None:
    """Add a convolution that keeps the map."""
    weights = model.weight(maps, channels, *[3] * axes, scale=0.3)
    model.add("Conv", weights, model.weight(maps), kernel_shape=[3] * axes, pads=[1] * 2 * axes)


def _head(model: Draft, data: DataObject) -> None:
    """Add a fully connected head, which needs to know how many features there are."""
    if data.draw(st.booleans()):
        model.add("GlobalAveragePool")
    model.add("Flatten")
    features = features_of(model)
    for rows in data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=2)):
        if not features:
            return
        model.add("Gemm", model.weight(rows, features, scale=0.3), model.weight(rows), transB=1)
        features = rows


def features_of(model: Draft) -> int:
    """Return the extent of the last axis; 0 where ONNX Runtime doesn't take the model."""
    try:
        plain = ort.InferenceSession(model.model().SerializeToString(), quiet())
        return max(0, int(plain.get_outputs()[0].shape[-1]))
    except _REFUSED:
        return 0


STEPS = [
    *[add_step] * 4,
    _skip,
    _branch,
    _upsample,
    _light,
    moves.add_conv_transpose,
    moves.add_gather,
    moves.add_norm,
    moves.add_pad,
    moves.add_product,
    moves.add_reduction,
    moves.add_resize,
    moves.add_shuffle,
    moves.add_slice,
    moves.add_split,
]
OPSETS = [11, 13, 17, 18, 22]
