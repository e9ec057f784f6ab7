"""What the layers of a model allow: which nodes go on under a layout, and what leaves them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from edgesplit.dataflow.region import Region
from edgesplit.graph.following import SPACE, follows_channels, in_blocks, in_tiles
from edgesplit.graph.model import Graph, Layer, Node
from edgesplit.graph.slicing import needs
from edgesplit.plan.search.layouts import Kind, Layout

Boxes = Mapping[str, Region]
Form = tuple[Kind, bool]
"""A kind of layout, and whether its map is cut on two axes or its blocks are coded."""


def form(layout: Layout) -> Form:
    """Return what of a layout decides which nodes are left to the readers of its values."""
    if layout.kind == "tiles":
        return ("tiles", layout.rows < len(layout.devices))
    return (layout.kind, bool(layout.parity))


@dataclass(frozen=True)
class Anatomy:
    """The layers of a graph, by number."""

    graph: Graph
    _carried: dict[tuple[int, Form], tuple[Node, ...]] = field(default_factory=dict, compare=False)
    _left: dict[Form, Mapping[str, Node]] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.graph.layers)

    @cached_property
    def home(self) -> Mapping[str, int]:
        """The layer that makes each value; -1 for the model's inputs."""
        homes = {port.name: -1 for port in self.graph.inputs}
        for index, layer in enumerate(self.graph.layers):
            homes |= {name: index for node in layer.nodes for name in node.outputs if name}
        return homes

    @cached_property
    def last(self) -> Mapping[str, int]:
        """The last layer that reads each value; the number of layers for the model's outputs."""
        ports = {port.name for port in self.graph.outputs}
        return {
            name: len(self) if name in ports else max(self._readers(name), default=-1)
            for name in self.home
        }

    @cached_property
    def crossing(self) -> tuple[tuple[str, ...], ...]:
        """The values that layers from `i` on read of those before, by `i`."""
        return tuple(
            tuple(name for name, home in self.home.items() if home < index <= self.last[name])
            for index in range(len(self) + 1)
        )

    @cached_property
    def cuts(self) -> tuple[bool, ...]:
        """Whether a stage may begin at layer `i`: everything that crosses there can travel."""
        return tuple(
            all(self.graph.values[name].portable for name in names) for names in self.crossing
        )

    def carried(self, index: int, under: Form) -> tuple[Node, ...]:
        """Return the nodes of a layer that run under a form of split, its heavy one first."""
        key = (index, under)
        if key not in self._carried:
            self._carried[key] = self._carry(self.graph.layers[index], under)
        return self._carried[key]

    def complete(self, index: int, under: Form) -> bool:
        """Tell whether a layer runs under a form of split with all its nodes."""
        return len(self.carried(index, under)) == len(self.graph.layers[index].nodes)

    def possible(self, index: int, under: Form) -> bool:
        """Tell whether a layer's heavy operator runs under a form of split."""
        layer = self.graph.layers[index]
        carried = self.carried(index, under)
        return bool(carried) and (layer.heavy is None or layer.heavy in carried)

    def leaving(self, index: int, end: int, under: Form) -> Iterator[str]:
        """Yield the values of a layer that are read outside of a run that ends before `end`."""
        carried = self.carried(index, under)
        for node in carried:
            for name in filter(None, node.outputs):
                inside = all(
                    reader in carried
                    for reader in self.graph.consumers.get(name, ())
                    if self._layer_of[reader.name] == index
                )
                if self.last[name] >= end or not inside:
                    yield name

    def follows(self, index: int) -> bool:
        """Tell whether a layer's heavy operator goes on in the blocks of the layer before."""
        heavy = self.graph.layers[index].heavy
        if heavy is None or not heavy.inputs or self.home.get(heavy.inputs[0]) != index - 1:
            return False
        return follows_channels(self.graph, heavy, heavy.inputs[0])

    def undone(self, names: Iterable[str], under: Form) -> Sequence[Node]:
        """Return the nodes left to who reads these values, published in this form, in order."""
        if under not in self._left:
            self._left[under] = self._leftovers(under)
        left = self._left[under]
        nodes: dict[str, Node] = {}
        pending = [name for name in names if name in left]
        while pending:
            node = left[pending.pop()]
            nodes[node.name] = node
            pending += [name for name in node.reads if name in left and name not in nodes]
        return [node for node in self.graph.nodes if node.name in nodes] if nodes else ()

    def published(self, boxes: Boxes, under: Form) -> Boxes:
        """Return what must be fetched for these boxes where values are published in this form."""
        ordered = self.undone(boxes, under)
        if not ordered:
            return boxes
        made = {name for node in ordered for name in node.outputs}
        found = needs(self.graph, ordered, boxes)
        values = self.graph.values
        return {n: b for n, b in found.items() if n not in made and not values[n].constant}

    @cached_property
    def _layer_of(self) -> Mapping[str, int]:
        layers = enumerate(self.graph.layers)
        return {node.name: index for index, layer in layers for node in layer.nodes}

    def _readers(self, name: str) -> Iterator[int]:
        for node in self.graph.consumers.get(name, ()):
            yield self._layer_of[node.name]

    def _carry(self, layer: Layer, under: Form) -> tuple[Node, ...]:
        kind, extra = under
        if kind == "tiles":
            axes = self._axes(layer, both=extra)
            return in_tiles(self.graph, layer.nodes, axes) if axes else ()
        if kind == "sums" or (kind == "blocks" and extra):
            return self._linear(layer)
        if kind == "blocks":
            return in_blocks(self.graph, layer.nodes, [layer.heavy] if layer.heavy else [])
        return layer.nodes

    def _linear(self, layer: Layer) -> tuple[Node, ...]:
        """Return the nodes up to the heavy one: what comes after must wait for the whole sum."""
        if layer.heavy is None:
            return ()
        return layer.nodes[: layer.nodes.index(layer.heavy) + 1]

    def _axes(self, layer: Layer, *, both: bool) -> tuple[int, ...]:
        """Return the axes on which a layer's map is cut: the last two, or the first of those."""
        name = (layer.heavy or layer.nodes[0]).outputs[0]
        rank = len(self.graph.values[name].shape)
        if rank <= SPACE or (both and rank == SPACE + 1):
            return ()
        first = max(SPACE, rank - 2)
        return (first, rank - 1) if both else (first,)

    def _leftovers(self, under: Form) -> Mapping[str, Node]:
        """Return the nodes that run with the readers of their layer, by what they make."""
        left: dict[str, Node] = {}
        for index, layer in enumerate(self.graph.layers):
            carried = self.carried(index, under)
            if carried:
                after = layer.nodes[layer.nodes.index(carried[0]) :]
                behind = (node for node in after if node not in carried)
                left |= {name: node for node in behind for name in node.outputs if name}
        return left
