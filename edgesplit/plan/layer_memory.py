"""What a shard's layers hold one at a time: the memory that tiles save, runtimes aside.

As "DeepThings: Distributed Adaptive Deep Learning Inference on Resource-Constrained IoT Edge
Clusters" counts it: the maps that a layer reads and makes, and its weights. Tiles cut the maps,
never the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.graph import ops
from edgesplit.graph.model import Graph
from edgesplit.graph.slicing import constant_bytes, needs
from edgesplit.plan.lower import Lowered
from edgesplit.plan.shard import ShardSpec


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """The bytes of one operator: of the maps that it reads and makes, and of its weights."""

    node: str
    maps: int
    weights: int

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.maps + self.weights


def layer_memory(graph: Graph, spec: ShardSpec) -> tuple[LayerMemory, ...]:
    """Return the memory of each operator of a shard; activations work in place and have none."""
    nodes = [graph.node(name) for name in spec.nodes]
    boxes = needs(graph, nodes, spec.wanted, spec.partial)
    found = []
    for node in nodes:
        touched = {n: boxes[n] for n in {*node.reads, *filter(None, node.outputs)} if n in boxes}
        weights = constant_bytes(graph, touched)
        everything = sum(box.size * graph.values[name].itemsize for name, box in touched.items())
        if not ops.in_passing(node):
            found.append(LayerMemory(node.name, everything - weights, weights))
    return tuple(found)


def largest_layer(graph: Graph, lowered: Lowered) -> LayerMemory:
    """Return the operator that holds most, of all that the shards of an allocation run.

    Raises:
        ValueError: No shard runs an operator that holds maps of its own.
    """
    layers = (layer for spec in lowered.shards for layer in layer_memory(graph, spec))
    return max(layers, key=lambda layer: layer.total)
