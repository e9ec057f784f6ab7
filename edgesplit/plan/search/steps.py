"""What operators ask for boxes of their outputs, found once for all operators that are alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from edgesplit.cost.kernel import Kernel, anchors, kernel
from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import Partial


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator asks: boxes of its inputs by position, with their bytes, and its work.

    `macs` are multiply-accumulates, `weights` bytes of constants, `live` bytes of all else that
    it reads and makes, `kernels` the node's own where it has a price.
    """

    reads: tuple[tuple[int, Region], ...]
    macs: float
    weights: int
    live: int
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class Steps:
    """The operators of a graph; what one was asked is remembered for all of its kind."""

    graph: Graph
    _kinds: dict[str, int] = field(default_factory=dict, compare=False)
    _signatures: dict[str, int] = field(default_factory=dict, compare=False)
    _seen: dict[tuple[int, Region], Asked] = field(default_factory=dict, compare=False)

    def ask(self, node: Node, out: Mapping[str, Region], partial: Partial | None) -> Asked:
        """Return what a node asks for boxes of its outputs, or for a part of the sum they are."""
        if partial is not None or len(out) != 1 or len(node.outputs) != 1:
            return self._asked(node, out, partial)
        (box,) = out.values()
        key = (self._kind(node), box)
        if key not in self._seen:
            self._seen[key] = self._asked(node, out, None)
        return self._seen[key]

    def _kind(self, node: Node) -> int:
        """Return a number that nodes have in common which differ in names only."""
        if node.name not in self._kinds:
            plain = not (node.opaque or node.captures)
            signature = self._signature(node) if plain else node.name
            self._kinds[node.name] = self._signatures.setdefault(signature, len(self._signatures))
        return self._kinds[node.name]

    def _signature(self, node: Node) -> str:
        named = (*node.inputs, *node.outputs)
        values = [replace(self.graph.values[name], name="") if name else None for name in named]
        same = [node.inputs.index(name) for name in node.inputs]
        priced = node.name in self._priced
        return repr((node.domain, node.op, sorted(node.attributes.items()), values, same, priced))

    def _asked(self, node: Node, out: Mapping[str, Region], part: Partial | None) -> Asked:
        reads: list[tuple[int, Region]] = []
        weights, live = 0, sum(self._nbytes(name, box) for name, box in out.items())
        boxes = dict(out)
        positions = {name: index for index, name in enumerate(node.reads)}
        for name, box in self._step(node, out, part).needs(node):
            if self.graph.values[name].constant:
                weights += self._nbytes(name, box)
            else:
                live += self._nbytes(name, box)
                boxes[name] = box
                reads.append((positions[name], box))
        macs = self._macs(node, out, part)
        priced = node.name in self._priced
        kernels = (kernel(self.graph, node, boxes, macs, weights),) if priced else ()
        return Asked(tuple(reads), macs, weights, live, kernels)

    @cached_property
    def _priced(self) -> frozenset[str]:
        return anchors(self.graph)

    def _nbytes(self, name: str, box: Region) -> int:
        return box.size * self.graph.values[name].itemsize

    def _step(self, node: Node, out: Mapping[str, Region], part: Partial | None) -> ops.Step:
        if part is None:
            return ops.step(self.graph, node, out)
        block = (part.lo, part.hi)
        return ops.partial_step(self.graph, node, out, block, bias=part.first)

    def _macs(self, node: Node, out: Mapping[str, Region], part: Partial | None) -> float:
        box = out.get(node.outputs[0])
        count = float(ops.macs(self.graph.values, node, box)) if box is not None else 0.0
        reads = ops.reduces(self.graph, node) if part is not None else None
        return count * (part.hi - part.lo) / reads.extent if part and reads else count
