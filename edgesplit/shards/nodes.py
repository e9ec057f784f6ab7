"""What sub-models are put together from, in ONNX's own terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Node


def typed(name: str, region: Region, dtype: str) -> ir.Value:
    """Return a value that stands for a box, of a numpy dtype."""
    kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))
    return ir.Value(name=name, shape=ir.Shape(region.shape), type=kind)


def is_doubtful(node: Node, attributes: Mapping[str, Any]) -> bool:
    """Tell whether ONNX's shape inference may count other windows than ONNX Runtime makes."""
    automatic = attributes.get("auto_pad", "NOTSET") != "NOTSET"
    return "Pool" in node.op and bool(attributes.get("ceil_mode") or automatic)


def attribute(name: str, value: object, original: ir.Node) -> ir.Attr:
    """Return an attribute of the kind that the original node has it in."""
    known = original.attributes.get(name)
    if known is not None:
        return ir.Attr(name, known.type, value)
    return ir.convenience.convert_attribute(name, value)  # type: ignore[arg-type]


def nested(node: ir.Node) -> Iterator[ir.Node]:
    """Yield the nodes of a node's subgraphs, at any depth."""
    for one in node.attributes.values():
        if one.type == ir.AttributeType.GRAPH:
            yield from ir.traversal.RecursiveGraphIterator(one.as_graph())
        elif one.type == ir.AttributeType.GRAPHS:
            for graph in one.as_graphs():
                yield from ir.traversal.RecursiveGraphIterator(graph)
