"""A network on disk: one ONNX file, and its weights as external data beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from edgesplit.zoo.build import Network, Parameter, Tensor

PAGE = 4096
"""Weights begin at multiples of a memory page, so that they can be mapped one by one."""

OPSET = 17
IR_VERSION = 10
"""The newest that every supported ONNX Runtime (1.20 and later) reads."""

Weights = Callable[[int, Parameter], NDArray[np.float32]]
"""Gives the values of the n-th parameter."""


def random_weights(seed: int) -> Weights:
    """Return normal weights, the same for the same seed; each parameter has its own stream."""

    def draw(index: int, parameter: Parameter) -> NDArray[np.float32]:
        generator = np.random.default_rng((seed, index))
        values = generator.standard_normal(parameter.shape, dtype=np.float32)
        values *= np.float32(parameter.deviation)
        if parameter.centre:
            values += np.float32(parameter.centre)
        return values

    return draw


def stored_weights(path: Path) -> Weights:
    """Return the weights of an `.npz` file, by the parameters' names."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return lambda _, parameter: arrays[parameter.name].reshape(parameter.shape)


def weight_bytes(network: Network) -> int:
    """Return the size of the weight file in bytes, the gaps between weights included."""
    return max(offset + parameter.nbytes for offset, parameter in _layout(network))


def onnx_model(network: Network) -> ModelProto:
    """Return the ONNX model, whose weights lie in the external file `<network's name>.weights`."""
    graph = helper.make_graph(
        network.nodes,
        network.name,
        [_port(tensor) for tensor in network.inputs],
        [_port(tensor) for tensor in network.outputs],
        initializer=[
            _external(parameter, f"{network.name}.weights", offset)
            for offset, parameter in _layout(network)
        ],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edgesplit"
    )


def write(network: Network, weights: Weights, folder: Path) -> Path:
    """Write the model and its weights into an existing folder, synced; return the ONNX file.

    Memory: at most one parameter at a time.

    Raises:
        OSError: The folder can't be written, or the disk is full.
    """
    with (folder / f"{network.name}.weights").open("wb") as file:
        for index, (offset, parameter) in enumerate(_layout(network)):
            file.seek(offset)
            file.write(np.ascontiguousarray(weights(index, parameter), dtype="<f4").data)
        _finish(file)
    path = folder / f"{network.name}.onnx"
    with path.open("wb") as file:
        file.write(onnx_model(network).SerializeToString(deterministic=True))
        _finish(file)
    return path


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fchmod(file.fileno(), 0o644)  # Another user's executor must be able to read it.
    os.fsync(file.fileno())


def _layout(network: Network) -> Iterator[tuple[int, Parameter]]:
    offset = 0
    for parameter in network.parameters:
        yield offset, parameter
        offset += -(-parameter.nbytes // PAGE) * PAGE


def _port(tensor: Tensor) -> ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.shape)


def _external(parameter: Parameter, location: str, offset: int) -> TensorProto:
    tensor = TensorProto(
        name=parameter.name,
        data_type=TensorProto.FLOAT,
        dims=parameter.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", location), ("offset", offset), ("length", parameter.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
