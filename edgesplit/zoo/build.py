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


Extents = int | Sequence[int]
"""One number for all spatial axes, or one for each (pads: two for each)."""

Window = dict[str, list[int]]
"""The attributes of an operator with a window."""


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
    """A float32 weight of the network; random values are normal about `centre`.

    `statistic` marks what training counts but doesn't learn: running means and variances.
    """

    name: str
    shape: tuple[int, ...]
    deviation: float
    centre: float = 0.0
    statistic: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of its float32 values."""
        return 4 * prod(self.shape)


@dataclass
class Network:
    """Nodes and parameters in the order in which they were added; every node has a name.

    Each method adds one node and returns the value it makes, which bears the node's name. There
    may be any number of spatial axes; a kernel, stride or pad that is one number holds for all of
    them, pads given one by one are the begins and then the ends.
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
        self,
        x: Tensor,
        name: str,
        channels: int,
        *,
        kernel: Extents,
        stride: Extents = 1,
        pad: Extents = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> Tensor:
        """Add a convolution; as many groups as channels make it a depthwise one."""
        window = _window(len(x.shape) - 2, kernel, stride, pad)
        extents = self._extents(x, name, window)
        shape = (channels, x.shape[1] // groups, *window["kernel_shape"])
        return self._node(
            "Conv",
            name,
            # No rectifier stands between a depthwise convolution and the one across channels.
            [x.name, *self._affine(name, shape, bias=bias, gain=1 if groups > 1 else 2)],
            (1, channels, *extents),
            attributes=window | ({"group": groups} if groups > 1 else {}),
        )

    def max_pool(
        self, x: Tensor, name: str, *, kernel: Extents, stride: Extents, pad: Extents = 0
    ) -> Tensor:
        """Add a max pool, rounding down."""
        window = _window(len(x.shape) - 2, kernel, stride, pad)
        shape = (*x.shape[:2], *self._extents(x, name, window))
        return self._node("MaxPool", name, [x.name], shape, attributes=window)

    def global_average_pool(self, x: Tensor, name: str) -> Tensor:
        """Add the mean over all spatial axes."""
        shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
        return self._node("GlobalAveragePool", name, [x.name], shape)

    def batch_norm(self, x: Tensor, name: str, *, gain: float = 1.0) -> Tensor:
        """Add a batch normalisation by stored statistics; `gain` is the mean of its scales."""
        centres = {"scale": gain, "bias": 0.0, "mean": 0.0, "variance": 1.0}
        parameters = [
            Parameter(
                f"{name}.{part}",
                (x.shape[1],),
                BIAS_DEVIATION,
                centre,
                statistic=part in {"mean", "variance"},
            )
            for part, centre in centres.items()
        ]
        self.parameters += parameters
        inputs = [x.name, *(parameter.name for parameter in parameters)]
        return self._node("BatchNormalization", name, inputs, x.shape)

    def fc(self, x: Tensor, name: str, units: int) -> Tensor:
        """Add a fully connected layer with bias; the weight has a row per output."""
        weights = self._affine(name, (units, x.shape[1]))
        return self._node("Gemm", name, [x.name, *weights], (1, units), attributes={"transB": 1})

    def relu(self, x: Tensor, name: str) -> Tensor:
        """Add a rectifier."""
        return self._node("Relu", name, [x.name], x.shape)

    def leaky_relu(self, x: Tensor, name: str, slope: float) -> Tensor:
        """Add a rectifier that lets a share of the negative through."""
        return self._node("LeakyRelu", name, [x.name], x.shape, attributes={"alpha": slope})

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """Add the sum of two values of one shape."""
        return self._node("Add", name, [x.name, y.name], x.shape)

    def concat(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """Add the channels of two values, one after the other."""
        shape = (1, x.shape[1] + y.shape[1], *x.shape[2:])
        return self._node("Concat", name, [x.name, y.name], shape, attributes={"axis": 1})

    def space_to_depth(self, x: Tensor, name: str, block: int) -> Tensor:
        """Add a move of square blocks of positions into channels; what is over must not be."""
        height, width = x.shape[2:]
        if height % block or width % block:
            raise ModelError(
                f"an input of {self._size} does not fit {self.name}: {name} would cut "
                f"{height} x {width} positions into blocks of {block} x {block}",
                remedy="give an `input` that is a multiple of 32, or leave it out",
            )
        shape = (1, x.shape[1] * block**2, height // block, width // block)
        return self._node("SpaceToDepth", name, [x.name], shape, attributes={"blocksize": block})

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

    def _affine(
        self, name: str, shape: tuple[int, ...], *, bias: bool = True, gain: int = 2
    ) -> list[str]:
        # He et al., "Delving Deep into Rectifiers", 2.2: a rectifier behind it takes one half.
        deviation = sqrt(gain / prod(shape[1:]))
        parameters = [Parameter(f"{name}.weight", shape, deviation)]
        if bias:
            parameters.append(Parameter(f"{name}.bias", shape[:1], BIAS_DEVIATION))
        self.parameters += parameters
        return [parameter.name for parameter in parameters]

    def _extents(self, x: Tensor, name: str, window: Window) -> tuple[int, ...]:
        extents = x.shape[2:]
        pads = zip(window["pads"][: len(extents)], window["pads"][len(extents) :], strict=True)
        sides = zip(extents, window["kernel_shape"], window["strides"], pads, strict=True)
        made = tuple((n + sum(pad) - kernel) // stride + 1 for n, kernel, stride, pad in sides)
        if min(made) < 1:
            raise ModelError(
                f"an input of {self._size} is too small for {self.name}: "
                f"nothing is left of it at {name}",
                remedy="give a larger `input`, or leave it out for the model's own",
            )
        return made

    @property
    def _size(self) -> str:
        extent = self.inputs[0].shape[-1]
        return f"{extent} x {extent}"


def same_upper(extents: Sequence[int], kernel: int, stride: int) -> tuple[int, ...]:
    """Return the pads under which a window of this stride gives ceil(n / stride) positions.

    An odd one goes to the end, as in TensorFlow's SAME.
    """
    pads = [max(0, (-(-n // stride) - 1) * stride + kernel - n) for n in extents]
    return (*(pad // 2 for pad in pads), *(pad - pad // 2 for pad in pads))


def _window(axes: int, kernel: Extents, stride: Extents, pad: Extents) -> Window:
    return {
        "kernel_shape": _each(kernel, axes),
        "strides": _each(stride, axes),
        "pads": _each(pad, 2 * axes),
    }


def _each(given: Extents, count: int) -> list[int]:
    return [given] * count if isinstance(given, int) else list(given)
