"""The model as the planner sees it: values, nodes and layers of a static-shape ONNX graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import Port


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a float32 value travels: as float16, or as uint8 that stands for `(q - zero) * scale`.

    What lies outside the range of either becomes the nearest number in it.
    """

    dtype: Literal["float16", "uint8"]
    scale: float = 1.0
    zero: int = 0

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return np.dtype(self.dtype).itemsize

    def decode(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Return the floats that an array which has travelled stands for."""
        if self.dtype == "float16":
            return array.astype(np.float32)
        return (array.astype(np.float32) - self.zero) * np.float32(self.scale)


@dataclass(frozen=True, slots=True)
class Value:
    """A named tensor of known shape; `constant` where it is a weight.

    `dtype` is a numpy name, or ONNX Runtime's own where numpy has none. `ints` and `floats` are the
    contents of a small constant, such as axes, pads or scales. `portable` is False where the value
    can't travel between devices: it is no tensor, or its shape depends on the data. With an
    `encoding` it is rounded where it does travel; coded rows and partial sums of it never are.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    ints: tuple[int, ...] | None = None
    floats: tuple[float, ...] | None = None
    portable: bool = True
    encoding: Encoding | None = None

    @property
    def region(self) -> Region:
        """The whole of the value."""
        return Region.full(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element; of what numpy doesn't know, after the bits in its name."""
        try:
            return np.dtype(self.dtype).itemsize
        except TypeError:
            bits = re.search(r"\d+", self.dtype)
            return max(1, int(bits[0]) // 8) if bits else 8

    @property
    def wire_itemsize(self) -> int:
        """Bytes of an element between devices, of exact data."""
        return self.encoding.itemsize if self.encoding else self.itemsize


@dataclass(frozen=True, slots=True)
class Node:
    """One ONNX operator. Absent optional inputs are the empty name; attributes are plain Python.

    `opaque` marks a node with attributes that are not plain (a tensor, a subgraph): they are left
    out, and the node runs whole. `captures` are values that its subgraphs read by name. `whole`
    marks one of which ONNX Runtime makes other tiles than of the whole, whatever its rule says.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    domain: str = ""
    opaque: bool = False
    captures: tuple[str, ...] = ()
    whole: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all values the node depends on, each once."""
        return tuple(dict.fromkeys(filter(None, (*self.inputs, *self.captures))))


@dataclass(frozen=True, slots=True)
class Layer:
    """One heavy operator with the light ones grouped under it, in topological order.

    `heavy` is None only where a graph has no heavy operator at all. `macs` are
    multiply-accumulates of one request, `weight_bytes` the bytes of all its constants.
    """

    name: str
    heavy: Node | None
    nodes: tuple[Node, ...]
    macs: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Pixels:
    """How pixels of one byte become a model's floats: `(pixel * scale - mean) / std` a channel.

    `mean` and `std` are one number for all channels or one for each; empty for 0 and 1.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Graph:
    """An imported model. `path` is the ONNX file, constants folded and batch norms merged.

    `opset` is the version of the default domain; 0 where it isn't known.
    """

    name: str
    digest: str
    path: Path
    values: Mapping[str, Value]
    nodes: tuple[Node, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int = 0

    @cached_property
    def producer(self) -> Mapping[str, Node]:
        """The node that makes each value, inputs and constants left out."""
        return {out: node for node in self.nodes for out in node.outputs if out}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each value."""
        readers: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in node.reads:
                readers[name].append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    @cached_property
    def heavy(self) -> frozenset[str]:
        """The names of the nodes that layers are grouped about."""
        return frozenset(layer.heavy.name for layer in self.layers if layer.heavy)

    def layer(self, name: str) -> Layer:
        """Return the layer of this name; KeyError where there is none."""
        return self._layers[name]

    def node(self, name: str) -> Node:
        """Return the node of this name; KeyError where there is none."""
        return self._nodes[name]

    def wire_name(self, value: str) -> str:
        """Return what a value is called in its encoding; no value of the model is called so."""
        encoding = self.values[value].encoding
        name = f"{value}({encoding.dtype})" if encoding else value
        while encoding and name in self.values:
            name += "'"
        return name

    @cached_property
    def _layers(self) -> Mapping[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def _nodes(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}
