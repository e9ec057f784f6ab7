"""Pixels as inputs: what makes floats of them becomes part of the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from edgesplit.errors import ModelError
from edgesplit.graph.model import Pixels

_CHANNELS = 1
_IMAGE = 4
"""Axes of an image; a film has one more."""


def take_pixels(model: ModelProto, pixels: Pixels, where: str) -> None:
    """Give the model uint8 inputs of the same names, and the arithmetic in front of it.

    Raises:
        ModelError: An input is no batch of one image or film in float32, or its channels are not
            as many as the numbers that scale them.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    for port in model.graph.input:
        if port.name not in weights:
            _prepend(model, port, pixels, where)


def _prepend(model: ModelProto, port: ValueInfoProto, pixels: Pixels, where: str) -> None:
    factor, offset = _affine(port, pixels, where)
    raw, scaled, made = (f"{port.name}.{part}" for part in ("float", "scaled", "normalised"))
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name == port.name:
                node.input[position] = made
    model.graph.initializer.extend(
        numpy_helper.from_array(array, f"{port.name}.{name}")
        for name, array in (("factor", factor), ("offset", offset))
    )
    front = [
        _node("Cast", [port.name], raw, to=TensorProto.FLOAT),
        _node("Mul", [raw, f"{port.name}.factor"], scaled),
        _node("Add", [scaled, f"{port.name}.offset"], made),
    ]
    nodes = [*front, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    port.type.tensor_type.elem_type = TensorProto.UINT8


def _node(op: str, inputs: Sequence[str], output: str, to: int | None = None) -> NodeProto:
    return helper.make_node(op, inputs, [output], name=output, to=to)


def _affine(
    port: ValueInfoProto, pixels: Pixels, where: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return factor and offset by channel, of as many axes as the input."""
    shape = [dim.dim_value for dim in port.type.tensor_type.shape.dim]
    if port.type.tensor_type.elem_type != TensorProto.FLOAT or len(shape) < _IMAGE:
        raise ModelError(
            f"input {port.name!r} is no image of float32, so it can't be sent as uint8",
            where=where,
            remedy="leave `dtype` out of the model file's `input`",
        )
    channels = shape[_CHANNELS]
    std = _each(pixels.std or (1.0,), channels, port.name, where)
    mean = _each(pixels.mean or (0.0,), channels, port.name, where)
    column = (1, channels, *(1 for _ in shape[2:]))
    factor, offset = pixels.scale / std, -mean / std
    return factor.astype(np.float32).reshape(column), offset.astype(np.float32).reshape(column)


def _each(numbers: tuple[float, ...], channels: int, name: str, where: str) -> NDArray[np.float64]:
    if len(numbers) not in {1, channels}:
        raise ModelError(
            f"{len(numbers)} numbers scale input {name!r}, which has {channels} channels",
            where=where,
            remedy="give `mean` and `std` one number for each channel",
        )
    return np.broadcast_to(np.array(numbers), (channels,))
