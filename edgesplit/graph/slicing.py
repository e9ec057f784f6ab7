"""Receptive-field arithmetic: from the boxes that are wanted to the boxes that are needed."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Node


@dataclass(frozen=True, slots=True)
class Read:
    """An input of a localised node: the box `region` of `value`, in the value's coordinates."""

    value: str
    region: Region


@dataclass(frozen=True, slots=True)
class Literal:
    """An input of a localised node that is a new one-axis int64 constant (a Reshape's shape)."""

    ints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Localised:
    """A node rewritten for a box of its output.

    `inputs` are the new node's inputs in order: a box to slice out of what is available, a
    literal, or None where an optional input is absent. There may be fewer than before (a Concat
    drops the inputs it doesn't need). `attributes` replace the node's own, all of them.
    `produced` says, in the value's coordinates, which box each output array stands for; it holds
    the box that was wanted and only that part of it is promised to be right. Outputs that are not
    in it must be left unnamed.
    """

    attributes: Mapping[str, Any]
    inputs: tuple[Read | Literal | None, ...]
    produced: Mapping[str, Region]


@dataclass(frozen=True, slots=True)
class Partial:
    """One part of the sum that an operator makes: over the block `[lo, hi)` of its input channels.

    `first` marks the part that adds the bias, of which there is one.
    """

    node: str
    lo: int
    hi: int
    first: bool


def needs(
    graph: Graph,
    nodes: Sequence[Node],
    wanted: Mapping[str, Region],
    partial: Partial | None = None,
) -> dict[str, Region]:
    """Return the hull of what is needed of every value that the nodes touch for the wanted boxes.

    Args:
        graph: The model.
        nodes: Nodes in topological order; what they don't make counts as available.
        wanted: Boxes of values. Those that none of the nodes makes are passed through.
        partial: Which of the nodes makes only a part of its sum, if one does.

    Returns:
        Value name to box: inputs, constants, intermediates and the wanted values themselves.
        Values that aren't needed are not in it. A wanted value that is also read inside may be
        needed in a larger box than was wanted.
    """
    boxes = dict(wanted)
    for node in reversed(nodes):
        out = _wanted_of(node, boxes)
        if out:
            for name, region in _step(graph, node, out, partial).needs(node):
                boxes[name] = boxes[name].hull(region) if name in boxes else region
    return boxes


def closure(graph: Graph, wanted: Iterable[str], published: Container[str]) -> tuple[Node, ...]:
    """Return the nodes, in topological order, that make `wanted` out of what is published.

    Model inputs and constants are always available; a wanted value that is itself published
    needs no node.
    """
    pending = [name for name in wanted if name not in published]
    found: set[str] = set()
    while pending:
        node = graph.producer.get(pending.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            pending.extend(name for name in node.reads if name not in published)
    return tuple(node for node in graph.nodes if node.name in found)


def useful(nodes: Iterable[Node], boxes: Mapping[str, Region]) -> tuple[Node, ...]:
    """Return the nodes that make something of the boxes, as `needs` gives them.

    A box may need less than its closure: of a Concat, only the branches that it touches.
    """
    return tuple(node for node in nodes if _wanted_of(node, boxes))


def localise(
    graph: Graph,
    node: Node,
    want: Mapping[str, Region],
    have: Mapping[str, Region],
    partial: Partial | None = None,
) -> Localised:
    """Rewrite one node for the boxes wanted of its outputs.

    Args:
        graph: The model.
        node: One of its nodes.
        want: The box wanted of each output, as `needs` gave it; outputs that are not needed and
            values of other nodes may be in it or not.
        have: The box available of each value, constants and model inputs included.
        partial: As for `needs`.

    Raises:
        ValueError: Nothing of the node is wanted, or an input is not available in the box that is
            needed.
    """
    out = _wanted_of(node, want)
    if not out:
        raise ValueError(f"{node.name} makes nothing that is wanted and should be left out")
    step = _step(graph, node, out, partial)
    for name, region in step.needs(node):
        if name not in have or not have[name].contains(region):
            raise ValueError(
                f"{node.name} needs {name}[{region}], available is {have.get(name, 'nothing')}"
            )
    return Localised(step.attributes, tuple(inputs_of(node, step)), dict(step.produced))


def inputs_of(node: Node, step: ops.Step) -> Iterable[Read | Literal | None]:
    """Yield the inputs of a node that a step makes, in order."""
    for position in range(max(len(node.inputs), *(p + 1 for p in step.literals), 0)):
        if position in step.literals:
            yield Literal(step.literals[position])
        elif position >= len(node.inputs) or not node.inputs[position]:
            yield None
        elif (region := step.reads[position]) is not None:
            yield Read(node.inputs[position], region)


def macs(graph: Graph, node: Node, out: Region) -> int:
    """Return the multiply-accumulates of a box of the node's first output; 0 for light operators.

    Of a ConvTranspose and of recurrent operators, the box's share of the whole.
    """
    return ops.macs(graph.values, node, out)


def constant_bytes(graph: Graph, boxes: Mapping[str, Region]) -> int:
    """Return the bytes of the boxes that are of constants; `boxes` as `needs` gives them."""
    constants = ((graph.values[name], box) for name, box in boxes.items())
    return sum(box.size * v.itemsize for v, box in constants if v.constant)


def _wanted_of(node: Node, boxes: Mapping[str, Region]) -> dict[str, Region]:
    return {name: boxes[name] for name in node.outputs if name in boxes}


def _step(graph: Graph, node: Node, out: Mapping[str, Region], partial: Partial | None) -> ops.Step:
    if partial is None or partial.node != node.name:
        return ops.step(graph, node, out)
    block = (partial.lo, partial.hi)
    return ops.partial_step(graph, node, out, block, bias=partial.first)
