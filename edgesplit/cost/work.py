"""The work of layers, whole or in blocks: multiply-accumulates, weights and activations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from edgesplit.cost.kernel import Kernel, kernel, layer_anchors
from edgesplit.cost.profiles import Profile
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Layer, Node, Value

ROW_WEIGHTS = frozenset({"Gemm", "MatMul"})
"""Operators whose weights ONNX Runtime reads in the mapped file when prepacking is off."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a layer, or a block of one, asks of a device.

    `mapped` and `copied` are bytes of weights: read in the mapped file, or reordered into memory
    of their own, `largest` the most of them in one layer. `live` are the most bytes of activations
    that exist at one time, `fed` those of them that every block of the layer needs whole.
    `kernels` are the operators that have a price.
    """

    macs: float
    mapped: float
    copied: float
    live: float
    largest: float = 0
    fed: float = 0
    kernels: tuple[Kernel, ...] = ()

    def share(self, fraction: float) -> Work:
        """Return the work of a block that holds this fraction of the output channels."""
        return replace(
            self,
            macs=self.macs * fraction,
            mapped=self.mapped * fraction,
            copied=self.copied * fraction,
            live=self.fed + (self.live - self.fed) * fraction,
            largest=self.largest * fraction,
            kernels=tuple(one.share(fraction) for one in self.kernels),
        )

    def in_file(self, *, again: bool) -> Work:
        """Return the work of a session that copies no weights; `again` if another maps them."""
        mapped = 0 if again else self.mapped + self.copied
        return replace(self, mapped=mapped, copied=0, largest=0)

    def seconds(self, profile: Profile) -> float:
        """Return the time of the arithmetic on a board, in seconds."""
        return profile.seconds(self.macs, self.mapped + self.copied, self.kernels)


def layer_work(graph: Graph, layer: Layer) -> Work:
    """Return the work of a whole layer."""
    in_rows = layer.heavy is not None and layer.heavy.op in ROW_WEIGHTS
    weights = layer.weight_bytes
    return Work(
        macs=layer.macs,
        mapped=weights if in_rows else 0,
        copied=0 if in_rows else weights,
        live=max((_touched(graph, node) for node in layer.nodes), default=0),
        largest=0 if in_rows else weights,
        fed=_activations(graph, layer.heavy.reads) if layer.heavy else 0,
        kernels=tuple(_whole(graph, node) for node in layer_anchors(layer)),
    )


def _whole(graph: Graph, node: Node) -> Kernel:
    names = [name for name in (*node.reads, *node.outputs) if name]
    boxes = {name: graph.values[name].region for name in names}
    out = boxes.get(node.outputs[0])
    macs = ops.macs(graph.values, node, out) if out else 0
    weights = sum(nbytes(graph.values[name]) for name in node.reads if graph.values[name].constant)
    return kernel(graph, node, boxes, macs, weights)


def nbytes(value: Value) -> int:
    """Return the bytes of a value."""
    return prod(value.shape) * value.itemsize


def _touched(graph: Graph, node: Node) -> int:
    """Bytes of the activations that a node reads and writes."""
    return _activations(graph, {*node.reads, *filter(None, node.outputs)})


def _activations(graph: Graph, names: Iterable[str]) -> int:
    values = (graph.values[name] for name in names)
    return sum(nbytes(value) for value in values if not value.constant)
