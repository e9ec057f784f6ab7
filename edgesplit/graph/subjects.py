"""Subjects of probes: an operator with all that its rule sees, made small where it can be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgesplit.graph.model import Graph, Node, Value

ENOUGH = 12
"""Extent from which a rule that treats all extents alike needs no more to be seen to work."""

_GROUPS, _INPUTS, _MAPS = 3, 2, 3

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_POOLS = frozenset({"AveragePool", "MaxPool"})
_BY_POSITION = frozenset(
    {
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Pad",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Unsqueeze",
        "Upsample",
    }
)
"""Operators whose attributes and inputs name places, so that extents can't be changed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A node and the values it reads under names that say nothing; `opset` is the graph's."""

    node: Node
    values: Mapping[str, Value]
    opset: int

    @property
    def key(self) -> str:
        """What subjects have in common of which one answers for all."""
        known = (self.node, sorted(self.values.items()), self.opset)
        return hashlib.sha256(repr(known).encode()).hexdigest()[:32]

    def graph(self, shapes: Mapping[str, Sequence[int]], dtypes: Mapping[str, str]) -> Graph:
        """Return the graph of this node alone, whose outputs have these shapes and types."""
        made = {name: Value(name, tuple(shapes[name]), dtypes[name]) for name in shapes}
        values = {**self.values, **made}
        return Graph("probe", "", Path(), values, (self.node,), (), (), (), self.opset)


def subject_of(node: Node, values: Mapping[str, Value], opset: int) -> Subject:
    """Return a node as the subject of a probe."""
    names = {name: f"i{index}" for index, name in enumerate(dict.fromkeys(node.inputs)) if name}
    made = {name: f"o{index}" for index, name in enumerate(node.outputs) if name}
    small, attributes = _small(node, values)
    inputs = {names[name]: replace(small[name], name=names[name]) for name in names}
    plain = replace(
        node,
        name="probe",
        inputs=tuple(names.get(name, "") for name in node.inputs),
        outputs=tuple(made.get(name, "") for name in node.outputs),
        attributes=dict(sorted(attributes.items())),
    )
    return Subject(plain, inputs, opset)


def _small(
    node: Node, values: Mapping[str, Value]
) -> tuple[dict[str, Value], Mapping[str, object]]:
    """Return the inputs and the attributes of an operator like this one, but smaller."""
    inputs = {name: values[name] for name in node.inputs if name}
    if node.op in _BY_POSITION:
        return inputs, node.attributes
    if node.op in _CONVOLUTIONS:
        return _small_convolution(node, inputs)
    if node.op in _POOLS:
        found = {name: _resized(value, _few_channels(value)) for name, value in inputs.items()}
        return found, node.attributes
    cut = {name: _resized(v, [min(n, ENOUGH) for n in v.shape]) for name, v in inputs.items()}
    if not node.op.startswith("Reduce"):
        cut = {name: replace(value, ints=None, floats=None) for name, value in cut.items()}
    return cut, node.attributes


def _small_convolution(
    node: Node, inputs: Mapping[str, Value]
) -> tuple[dict[str, Value], Mapping[str, object]]:
    """Few groups of few channels; maps as they are, since windows depend on them."""
    data, weights, *rest = (inputs[name] for name in node.inputs if name)
    groups = node.attributes.get("group", 1)
    of_groups = weights.shape[0] // groups
    count = min(groups, _GROUPS)
    if node.op == "Conv":
        fan, maps = min(weights.shape[1], _INPUTS), min(of_groups, _MAPS)
        extents = (count * maps, fan, *weights.shape[2:])
    else:
        fan, maps = min(of_groups, _INPUTS), min(weights.shape[1], _MAPS)
        extents = (count * fan, maps, *weights.shape[2:])
    small = {
        data.name: _resized(data, (data.shape[0], count * fan, *data.shape[2:])),
        weights.name: _resized(weights, extents),
        **{bias.name: _resized(bias, (count * maps,)) for bias in rest},
    }
    attributes = {**node.attributes, "group": count} if count < groups else node.attributes
    return small, attributes


def _few_channels(value: Value) -> Sequence[int]:
    batch, channels, *extents = value.shape
    return (batch, min(channels, _MAPS), *extents)


def _resized(value: Value, shape: Sequence[int]) -> Value:
    if tuple(shape) == value.shape:
        return value
    return replace(value, shape=tuple(shape), ints=None, floats=None)
