"""A network being written down: ONNX nodes and the parameters they want, but no weights yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from types import MappingProxyType
from typing import Any

from onnx import NodeProto, helper

from edgesplit.errors import ModelError

BIAS_DEVIATION = 0.05
"""Biases are small but never zero: a zero bias would hide that it was lost or added twice."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a built-in model can be varied by.

    `width` multiplies channels and fc units, `input` is the height and width of the image,
    `classes` the number of outputs. `seed` draws random weights; None takes the model's own
    weights where it has some that fit, else seed 0.
    """

    input: int
    classes: int
    width: float = 1.0
    seed: int | None = None

    def scaled(self, units: int) -> int:
        """Return a layer's channels or units under the width factor, at least 4."""
        return max(4, round(units * self.width))


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the network: its name and shape, batch first."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A float32 weight of the network; `deviation` is that of its random initial values."""

    name: str
    shape: tuple[int, ...]
    deviation: float

    @property
    def nbytes(self) -> int:
        """Bytes of its float32 values."""
        return 4 * prod(self.shape)


@dataclass
class Network:
    """Nodes and parameters in the order in which they were added; every node has a name.

    Each method adds one node and returns the value it makes, which bears the node's name. Kernels,
    strides and pads are the same along all spatial axes, of which there may be any number.
    """

    name: str
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)

    def input(self, name: str, *shape: int) -> Tensor:
        """Declare a float32 input."""
        self.inputs.append(Tensor(name, shape))
        return self.inputs[-1]

    def output(self, x: Tensor) -> None:
        """Declare a value as an output."""
        self.outputs.append(x)

    def conv(
        self, x: Tensor, name: str, channels: int, *, kernel: int, stride: int = 1, pad: int = 0
    ) -> Tensor:
        """Add a convolution with bias."""
        extents = self._windows(x, name, kernel, stride, pad)
        weights = self._affine(name, (channels, x.shape[1], *(kernel for _ in extents)))
        window = _window(len(extents), kernel, stride, pad)
        return self._node(
            "Conv", name, [x.name, *weights], (1, channels, *extents), attributes=window
        )

    def max_pool(self, x: Tensor, name: str, *, kernel: int, stride: int) -> Tensor:
        """Add a max pool without padding, rounding down."""
        extents = self._windows(x, name, kernel, stride, 0)
        window = _window(len(extents), kernel, stride, 0)
        return self._node("MaxPool", name, [x.name], (*x.shape[:2], *extents), attributes=window)

    def fc(self, x: Tensor, name: str, units: int) -> Tensor:
        """Add a fully connected layer with bias; the weight has a row per output."""
        weights = self._affine(name, (units, x.shape[1]))
        return self._node("Gemm", name, [x.name, *weights], (1, units), attributes={"transB": 1})

    def relu(self, x: Tensor, name: str) -> Tensor:
        """Add a rectifier."""
        return self._node("Relu", name, [x.name], x.shape)

    def lrn(self, x: Tensor, name: str) -> Tensor:
        """Add a local response normalisation over 5 channels.

        Its constants are those of "ImageNet Classification with Deep Convolutional Neural
        Networks", section 3.3; ONNX divides alpha by the number of channels, the paper doesn't.
        """
        constants = {"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0}
        return self._node("LRN", name, [x.name], x.shape, attributes=constants)

    def flatten(self, x: Tensor, name: str) -> Tensor:
        """Add a flattening of all axes but the batch."""
        return self._node("Flatten", name, [x.name], (1, prod(x.shape[1:])), attributes={"axis": 1})

    def softmax(self, x: Tensor, name: str, *, value: str) -> Tensor:
        """Add a softmax over the classes; its value is named `value`."""
        return self._node("Softmax", name, [x.name], x.shape, attributes={"axis": 1}, value=value)

    def _node(
        self,
        op: str,
        name: str,
        inputs: Sequence[str],
        shape: tuple[int, ...],
        *,
        attributes: Mapping[str, Any] = MappingProxyType({}),
        value: str = "",
    ) -> Tensor:
        made = Tensor(value or name, shape)
        self.nodes.append(helper.make_node(op, inputs, [made.name], name=name, **attributes))
        return made

    def _affine(self, name: str, shape: tuple[int, ...]) -> list[str]:
        deviation = sqrt(2 / prod(shape[1:]))  # He et al., "Delving Deep into Rectifiers", 2.2.
        weight = Parameter(f"{name}.weight", shape, deviation)
        bias = Parameter(f"{name}.bias", shape[:1], BIAS_DEVIATION)
        self.parameters += [weight, bias]
        return [weight.name, bias.name]

    def _windows(self, x: Tensor, name: str, kernel: int, stride: int, pad: int) -> tuple[int, ...]:
        extents = tuple((n + 2 * pad - kernel) // stride + 1 for n in x.shape[2:])
        if min(extents) < 1:
            size = self.inputs[0].shape[-1]
            raise ModelError(
                f"an input of {size} x {size} is too small for {self.name}: "
                f"nothing is left of it at {name}",
                remedy="give a larger `input`, or leave it out for the model's own",
            )
        return extents


def _window(axes: int, kernel: int, stride: int, pad: int) -> dict[str, list[int]]:
    return {
        "kernel_shape": [kernel] * axes,
        "strides": [stride] * axes,
        "pads": [pad] * (2 * axes),
    }
