"""Probing of operators: ONNX Runtime's tiles against its whole, before any rule is relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Node, Value
from edgesplit.graph.slicing import Literal, Read, inputs_of
from edgesplit.graph.subjects import Subject, subject_of
from edgesplit.runtime.failures import ORT_FAILURES

Array = NDArray[Any]
StepOf = Callable[[Graph, Node, Mapping[str, Region]], ops.Step]

LARGEST = 1 << 23
"""Elements of inputs and outputs from which a probe costs more than it tells."""

TOLERANCE = 1e-5
"""How far a tile may be from the whole, relative to `max|y|`; or 16 units in the last place."""


_OVERTAXED: tuple[type[Exception], ...] = (ArithmeticError, LookupError, TypeError)
"""What a rule raises that is given an operator in a form it doesn't know."""


def marked(
    nodes: Sequence[Node],
    values: Mapping[str, Value],
    opset: int,
    verdicts: dict[str, bool],
    step: StepOf = ops.step,
) -> tuple[Node, ...]:
    """Return the nodes, those marked `whole` whose tiles aren't those of the whole.

    Args:
        nodes: The nodes of a graph.
        values: All values that they read and make.
        opset: Of the default domain.
        verdicts: What probes found before, by the subject's key; new ones are added.
        step: How a node makes a box of its outputs.
    """
    return tuple(
        replace(node, whole=not _trusted(node, values, opset, verdicts, step))
        if ops.known(node)
        else node
        for node in nodes
    )


def agrees(subject: Subject, step: StepOf = ops.step) -> bool:
    """Tell whether tiles of a node, each made of what its step reads, are those of the whole."""
    try:
        arrays = _samples(subject)
        whole = _wholes(subject, arrays)
        dtypes = {name: array.dtype.name for name, array in whole.items()}
        graph = subject.graph({name: array.shape for name, array in whole.items()}, dtypes)
        steps = [(want, step(graph, subject.node, want)) for want in _wants(graph, subject.node)]
        tiles = [made for _, made in steps]
        found = _run([_call(subject, arrays, made) for made in tiles], subject.opset)
    except (*ORT_FAILURES, *_OVERTAXED):
        return False
    return all(
        _same(got, made, want, whole) for (want, made), got in zip(steps, found, strict=True)
    )


def _trusted(
    node: Node,
    values: Mapping[str, Value],
    opset: int,
    verdicts: dict[str, bool],
    step: StepOf,
) -> bool:
    if not all(values[name].portable for name in node.outputs if name):
        return False
    subject = subject_of(node, values, opset)
    if sum(value.region.size for value in subject.values.values()) > LARGEST:
        return True
    if subject.key not in verdicts:
        verdicts[subject.key] = agrees(subject, step)
    return verdicts[subject.key]


@dataclass(frozen=True, slots=True)
class _Call:
    """One node to run: its inputs by position, of which some are constants, and its outputs."""

    op: str
    attributes: Mapping[str, Any]
    inputs: tuple[tuple[Array, bool] | None, ...]
    outputs: tuple[str, ...]


def _samples(subject: Subject) -> dict[str, Array]:
    source = np.random.default_rng(0)
    return {name: _sample(source, value, subject.node.op) for name, value in subject.values.items()}


def _sample(source: np.random.Generator, value: Value, op: str) -> Array:
    known = value.floats if value.ints is None else value.ints
    dtype = np.dtype(value.dtype)
    if known is not None:
        return np.array(known, dtype).reshape(value.shape)
    if dtype.kind == "f":
        return source.standard_normal(value.shape).astype(dtype)
    # An integer division by 0 would end the process; as an index, 0 is always inside.
    lowest = 0 if dtype.kind == "b" or op == "Gather" else 1
    return source.integers(lowest, lowest + 2, value.shape).astype(dtype)


def _wholes(subject: Subject, arrays: Mapping[str, Array]) -> dict[str, Array]:
    node = subject.node
    inputs = tuple(
        (arrays[name], subject.values[name].constant) if name else None for name in node.inputs
    )
    (found,) = _run([_Call(node.op, node.attributes, inputs, node.outputs)], subject.opset)
    return found


def _call(subject: Subject, arrays: Mapping[str, Array], step: ops.Step) -> _Call:
    inputs: list[tuple[Array, bool] | None] = []
    for read in inputs_of(subject.node, step):
        if isinstance(read, Literal):
            inputs.append((np.array(read.ints, np.int64), True))
        elif isinstance(read, Read):
            constant = subject.values[read.value].constant
            inputs.append((arrays[read.value][read.region.slices], constant))
        else:
            inputs.append(None)
    outputs = tuple(name if name in step.produced else "" for name in subject.node.outputs)
    return _Call(subject.node.op, step.attributes, tuple(inputs), outputs)


def _wants(graph: Graph, node: Node) -> Iterator[dict[str, Region]]:
    """Yield boxes to compare: of each output, and of all of them together."""
    outputs = [graph.values[name] for name in node.outputs if name]
    each = [_boxes(value.shape) for value in outputs]
    for value, boxes in zip(outputs, each, strict=True):
        yield from ({value.name: box} for box in boxes)
    if len(outputs) > 1:
        for together in zip(*each, strict=False):
            yield {value.name: box for value, box in zip(outputs, together, strict=True)}


def _boxes(shape: tuple[int, ...]) -> list[Region]:
    """Return both halves, the middle and the edges of the map, and a block of channels."""
    halves: list[list[tuple[int, int]]] = [
        [(0, -(-n // 2)) for n in shape],
        [(n // 2, n) for n in shape],
    ]
    full = [(0, n) for n in shape]
    maps = [
        [(n // 3, max(n // 3 + 1, 2 * n // 3)) for n in shape],
        [(0, 1) for _ in shape],
        [(n - 1, n) for n in shape],
    ]
    channels = [bounds if axis == 1 else full[axis] for axis, bounds in enumerate(maps[0])]
    on_maps = [[*full[:2], *bounds[2:]] for bounds in maps]
    found = [Region(*_corners(bounds)) for bounds in (*halves, *on_maps, channels)]
    return [box for box in dict.fromkeys(found) if box.size and box != Region.full(shape)]


def _corners(bounds: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(lo for lo, _ in bounds), tuple(hi for _, hi in bounds)


def _run(calls: Sequence[_Call], opset: int) -> list[dict[str, Array]]:
    """Run nodes beside each other in one session; return their outputs by name."""
    if not calls:
        return []
    model, feeds = _model(calls, opset)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = iter(session.run(None, feeds))
    return [{name: next(found) for name in call.outputs if name} for call in calls]


def _model(calls: Sequence[_Call], opset: int) -> tuple[ModelProto, dict[str, Array]]:
    nodes: list[NodeProto] = []
    feeds: dict[str, Array] = {}
    weights: list[TensorProto] = []
    for index, call in enumerate(calls):
        names = []
        for position, given in enumerate(call.inputs):
            name = f"{index}.{position}" if given else ""
            names.append(name)
            if given and given[1]:
                weights.append(numpy_helper.from_array(given[0].copy(), name))
            elif given:
                feeds[name] = given[0]
        outputs = [name and f"{index}.{name}" for name in call.outputs]
        node = helper.make_node(call.op, names, outputs)
        node.attribute.extend(_attribute(*pair) for pair in call.attributes.items())
        nodes.append(node)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in feeds.items()
    ]
    made = [ValueInfoProto(name=name) for node in nodes for name in node.output if name]
    graph = helper.make_graph(nodes, "probe", infos, made, weights)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    ), feeds


def _attribute(name: str, value: object) -> AttributeProto:
    empty = AttributeProto.INTS if value == () else None
    return helper.make_attribute(name, value, attr_type=empty)


def _same(
    found: Mapping[str, Array],
    step: ops.Step,
    want: Mapping[str, Region],
    whole: Mapping[str, Array],
) -> bool:
    return all(
        step.produced[name].contains(box)
        and found[name].shape == step.produced[name].shape
        and _close(found[name][box.within(step.produced[name]).slices], whole[name], box)
        for name, box in want.items()
    )


def _close(tile: Array, whole: Array, box: Region) -> bool:
    right = whole[box.slices]
    if whole.dtype.kind != "f":
        return np.array_equal(tile, right)
    finite = np.isfinite(right)
    if not np.array_equal(tile[~finite], right[~finite], equal_nan=True):
        return False
    tolerance = max(TOLERANCE, 16 * float(np.finfo(whole.dtype).eps))
    scale = np.abs(whole[np.isfinite(whole)].astype(np.float64)).max(initial=0.0)
    wrong = np.abs(tile[finite].astype(np.float64) - right[finite].astype(np.float64))
    return bool(wrong.max(initial=0.0) <= tolerance * scale)
