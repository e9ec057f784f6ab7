"""From ONNX messages to values and nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, helper
from onnx.numpy_helper import to_array

from edgesplit.dataflow.table import Port
from edgesplit.errors import ModelError
from edgesplit.graph.folding import Measured
from edgesplit.graph.model import Node, Value

FEW = 64
"""Elements up to which an integer constant's contents are kept: axes, pads, shapes."""

AXES = 8
"""Elements up to which a float constant's contents are kept: one scale an axis."""

_INTEGERS = frozenset({TensorProto.INT32, TensorProto.INT64})
_PLAIN = frozenset(
    {
        AttributeProto.FLOAT,
        AttributeProto.INT,
        AttributeProto.STRING,
        AttributeProto.FLOATS,
        AttributeProto.INTS,
        AttributeProto.STRINGS,
    }
)


def input_ports(graph: GraphProto, where: str) -> tuple[Port, ...]:
    """Return the model's inputs, weights left out.

    Raises:
        ModelError: An input is no tensor of numbers, or has a dynamic shape.
    """
    weights = {tensor.name for tensor in graph.initializer}
    return tuple(_port(value, where) for value in graph.input if value.name not in weights)


def output_ports(graph: GraphProto, values: Mapping[str, Value], where: str) -> tuple[Port, ...]:
    """Return the model's outputs in the shapes that were measured.

    Raises:
        ModelError: An output is no tensor of numbers, or its shape depends on the data.
    """
    for value in graph.output:
        if not values[value.name].portable:
            raise ModelError(
                f"output {value.name!r} is no tensor of numbers of a fixed shape",
                where=where,
                remedy="export the model without its post-processing, and do that in your program",
            )
    found = (values[value.name] for value in graph.output)
    return tuple(Port(value.name, value.shape, value.dtype) for value in found)


def nodes_of(graph: GraphProto) -> tuple[Node, ...]:
    """Return the graph's nodes in its order."""
    return tuple(_node(node) for node in graph.node)


def values_of(
    graph: GraphProto,
    inputs: Iterable[Port],
    nodes: Iterable[Node],
    measured: Mapping[str, Measured],
) -> dict[str, Value]:
    """Return all values: inputs, constants, and what the nodes make."""
    values = {port.name: Value(port.name, port.shape, port.dtype) for port in inputs}
    values.update({tensor.name: _constant(tensor) for tensor in graph.initializer})
    unsure: set[str] = set()
    for node in nodes:
        unsure.update(_unsure(node, measured, unsure))
    for name, found in measured.items():
        portable = found.tensor and name not in unsure
        values[name] = Value(name, found.shape, found.dtype, portable=portable)
    return values


def _unsure(node: Node, measured: Mapping[str, Measured], unsure: set[str]) -> Iterator[str]:
    """Yield the outputs whose shape may depend on the data.

    A standard operator's output of unknown shape from inputs of known shape is such a one, and
    so is what is made of it. Operators of other domains often know no shapes before they run.
    """
    tainted = not unsure.isdisjoint(node.reads)
    vague = any(name in measured and not measured[name].inferred for name in node.reads)
    if tainted or (node.domain in {"", "ai.onnx"} and not vague):
        yield from (name for name in node.outputs if name and not measured[name].inferred)


def _port(value: ValueInfoProto, where: str) -> Port:
    kind = value.type.tensor_type
    shape = tuple(_extent(value, axis, where) for axis in range(len(kind.shape.dim)))
    if not value.type.HasField("tensor_type") or kind.elem_type == TensorProto.STRING:
        raise ModelError(
            f"input {value.name!r} takes {'strings' if kind.elem_type else 'no tensor'}",
            where=where,
            remedy="export the model without its text or sequence preprocessing",
        )
    if not kind.HasField("shape"):
        raise ModelError(
            f"input {value.name!r} has no shape", where=where, remedy=_fixing(value.name, "1,...")
        )
    return Port(value.name, shape, helper.tensor_dtype_to_np_dtype(kind.elem_type).name)


def _extent(value: ValueInfoProto, axis: int, where: str) -> int:
    dims = value.type.tensor_type.shape.dim
    if dims[axis].HasField("dim_value") and dims[axis].dim_value > 0:
        return int(dims[axis].dim_value)
    name = f" ({dims[axis].dim_param!r})" if dims[axis].dim_param else ""
    shape = ",".join(str(dim.dim_value or 1) for dim in dims)
    raise ModelError(
        f"input {value.name!r} has a dynamic shape: axis {axis}{name} is not fixed",
        where=where,
        remedy=_fixing(value.name, shape),
    )


def _fixing(name: str, shape: str) -> str:
    return (
        "fix the shape: python -m onnxruntime.tools.make_dynamic_shape_fixed "
        f"--input_name {name} --input_shape {shape} model.onnx fixed.onnx"
    )


def _constant(tensor: TensorProto) -> Value:
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type).name
    value = Value(tensor.name, tuple(tensor.dims), dtype, constant=True)
    if tensor.data_location != TensorProto.DEFAULT:
        return value
    if tensor.data_type in _INTEGERS and value.region.size <= FEW:
        return replace(value, ints=tuple(to_array(tensor).ravel().tolist()))
    if tensor.data_type == TensorProto.FLOAT and value.region.size <= AXES:
        return replace(value, floats=tuple(to_array(tensor).ravel().tolist()))
    return value


def _node(node: NodeProto) -> Node:
    plain = [attribute for attribute in node.attribute if attribute.type in _PLAIN]
    return Node(
        name=node.name,
        op=node.op_type,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={attribute.name: _plain(attribute) for attribute in plain},
        domain=node.domain,
        opaque=len(plain) < len(node.attribute),
        captures=tuple(sorted(_captures(node))),
    )


def _plain(attribute: AttributeProto) -> object:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if attribute.type == AttributeProto.STRINGS:
        return tuple(text.decode(errors="replace") for text in value)
    return value if isinstance(value, int | float) else tuple(value)


def _captures(node: NodeProto) -> set[str]:
    """Return the names that the node's subgraphs read from outside."""
    found: set[str] = set()
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            found |= _free(graph)
    return found


def _free(graph: GraphProto) -> set[str]:
    """Return the names that a subgraph reads and neither takes, holds nor makes."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {out for node in graph.node for out in node.output}
    read = {name for node in graph.node for name in node.input if name}
    read |= {value.name for value in graph.output}
    for node in graph.node:
        read |= _captures(node)
    return read - own
