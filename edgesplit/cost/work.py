"""The work of layers, whole or in blocks: multiply-accumulates, weights and activations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from edgesplit.cost.profiles import Profile
from edgesplit.graph.model import Graph, Layer, Node, Value

ROW_WEIGHTS = frozenset({"Gemm", "MatMul"})
"""Operators whose weights ONNX Runtime reads in the mapped file when prepacking is off."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a layer, or a block of one, asks of a device.

    `mapped` and `copied` are bytes of weights: read in the mapped file, or reordered into memory
    of their own. `live` are the most bytes of activations that exist at one time.
    """

    macs: float
    mapped: float
    copied: float
    live: float

    def share(self, fraction: float) -> Work:
        """Return the work of a block that holds this fraction of the output channels."""
        return replace(
            self,
            macs=self.macs * fraction,
            mapped=self.mapped * fraction,
            copied=self.copied * fraction,
        )

    def seconds(self, profile: Profile) -> float:
        """Return the time of the arithmetic on a board, in seconds."""
        return profile.compute(self.macs, self.mapped + self.copied)


def layer_work(graph: Graph, layer: Layer) -> Work:
    """Return the work of a whole layer."""
    in_rows = layer.heavy is not None and layer.heavy.op in ROW_WEIGHTS
    weights = layer.weight_bytes
    return Work(
        macs=layer.macs,
        mapped=weights if in_rows else 0,
        copied=0 if in_rows else weights,
        live=max((_touched(graph, node) for node in layer.nodes), default=0),
    )


def nbytes(value: Value) -> int:
    """Return the bytes of a value."""
    return prod(value.shape) * _itemsize(value.dtype)


def _itemsize(dtype: str) -> int:
    """Bytes of an element; 8 for what numpy doesn't know (strings are pointers)."""
    try:
        return np.dtype(dtype).itemsize
    except TypeError:
        return 8


def _touched(graph: Graph, node: Node) -> int:
    """Bytes of the activations that a node reads and writes."""
    values = (graph.values[name] for name in {*node.reads, *filter(None, node.outputs)})
    return sum(nbytes(value) for value in values if not value.constant)
