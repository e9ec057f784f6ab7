"""Kernels: what of an operator decides how long it takes, apart from names and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Layer, Node

_MATRIX = 2
"""Axes of what a matrix is applied to; more of them make a map, with its channels on axis 1."""

_PLACING = frozenset({"pads", "auto_pad", "output_shape", "output_padding"})
"""Attributes that say where windows lie; how many there are shows in the output's size."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """An operator under given boxes, as far as its speed depends on them.

    `form` is what kernels have in common whose times differ by `size` only, the elements of the
    output box: attributes and channels. `macs` are multiply-accumulates, `weights` bytes of
    constants, `moved` bytes of activations read and made.
    """

    op: str
    form: str
    size: int
    macs: float
    weights: float
    moved: float

    def share(self, fraction: float) -> Kernel:
        """Return the kernel of a block that holds this fraction of the output channels."""
        return replace(
            self,
            size=max(1, round(self.size * fraction)),
            macs=self.macs * fraction,
            weights=self.weights * fraction,
            moved=self.moved * fraction,
        )


def anchors(graph: Graph) -> frozenset[str]:
    """Return the nodes that have a price: heavy ones, and what works through windows or axes.

    ONNX Runtime does elementwise operators in passing, with the one before them, and what only
    gives a value another shape costs nothing. In a layer of nothing else the first one stands for
    all.
    """
    return frozenset(node.name for layer in graph.layers for node in layer_anchors(layer))


def layer_anchors(layer: Layer) -> tuple[Node, ...]:
    """Return the nodes of a layer that have a price."""
    return tuple(node for node in layer.nodes if not ops.in_passing(node)) or layer.nodes[:1]


def kernel(
    graph: Graph, node: Node, boxes: Mapping[str, Region], macs: float, weights: float
) -> Kernel:
    """Return the kernel of a node that makes and reads these boxes.

    Args:
        graph: The model.
        node: The operator.
        boxes: What it makes, and what it reads, by value; others are ignored.
        macs: Its multiply-accumulates for them.
        weights: Bytes of constants it reads for them.
    """
    values = graph.values
    read = [name for name in node.reads if name in boxes and not values[name].constant]
    made = [name for name in node.outputs if name in boxes]
    heavy = node.name in graph.heavy
    return Kernel(
        op=node.op,
        form=_form(node, [boxes[name] for name in (*read[:1], *made[:1])] if heavy else []),
        size=sum(boxes[name].size for name in made),
        macs=macs,
        weights=weights,
        moved=sum(boxes[name].size * values[name].itemsize for name in (*read, *made)),
    )


def _form(node: Node, ends: Sequence[Region]) -> str:
    """Return attributes, and the channels at both ends; of a matrix those it is applied to."""
    attributes = {name: node.attributes[name] for name in sorted({*node.attributes} - _PLACING)}
    told = [f"{name}={_plain(value)}" for name, value in attributes.items()]
    return " ".join([*told, *_channels(ends)])


def _channels(ends: Sequence[Region]) -> list[str]:
    if not ends:
        return []
    if min(end.rank for end in ends) <= _MATRIX:
        return [f"from {ends[0].shape[-1]}"] if ends[0].rank else []
    return [f"from {ends[0].shape[1]} to {ends[-1].shape[1]}"]


def _plain(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
