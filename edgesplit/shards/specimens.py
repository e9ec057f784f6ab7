"""Specimens as a device times them: ONNX files without their weights, in one archive."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgesplit.graph.model import Graph
from edgesplit.plan.specimens import Specimen
from edgesplit.runtime.specimens import ORDER, WEIGHTS, YARDSTICK
from edgesplit.shards.submodel import submodel
from edgesplit.shards.weights import EMBEDDED, embedded, offsets, reference
from edgesplit.shards.yardstick import yardstick

EMPTY = "empty.onnx"
"""The name of a specimen that computes nothing: what running a session costs."""

# The earliest time that a zip can hold; the real one would change the digest.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Pack:
    """An archive of specimens by name; `heavy` are those that were left out for their weights."""

    content: bytes
    specimens: Mapping[str, Specimen]
    heavy: tuple[Specimen, ...]


def pack(
    graph: Graph,
    specimens: Sequence[Specimen],
    limit: int,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> Pack:
    """Cut specimens out of the model's file, for a device that makes their weights itself.

    Weights of up to a KiB come along, and those that are no float32: their values may matter.

    Args:
        graph: The imported model.
        specimens: What is to be timed.
        limit: Bytes of weights that a specimen may have on the device.
        progress: Told how many are cut, and of how many.

    Raises:
        ShardError: The model's file doesn't hold what the graph says.
    """
    files, named, heavy, most = {EMPTY: _empty()}, dict[str, Specimen](), list[Specimen](), 0
    for number, specimen in enumerate(specimens):
        model = submodel(graph, specimen.spec)
        nbytes = _detach(model)
        if nbytes > limit:
            heavy.append(specimen)
            continue
        name = f"{number}.onnx"
        files[name] = _serialised(model)
        named[name], most = specimen, max(most, nbytes)
        progress(number + 1, len(specimens))
    order = json.dumps({"names": [*files], "weights": most}).encode()
    content = _zip({ORDER: order, YARDSTICK: yardstick(), **files})
    return Pack(content, named, tuple(heavy))


def _detach(model: ir.Model) -> int:
    """Have a model read its large constants from the device's own file; return their bytes."""
    values = [value for part in model.graphs() for value in part.initializers.values()]
    tensors = {id(value): value.const_value for value in values if value.const_value is not None}
    large = [tensor for tensor in tensors.values() if _is_arbitrary(tensor)]
    places = dict(zip(map(id, large), offsets(large), strict=True))
    for value in values:
        tensor = tensors[id(value)]
        place = places.get(id(tensor))
        value.const_value = embedded(tensor) if place is None else reference(tensor, WEIGHTS, place)
    return max((places[id(tensor)] + tensor.nbytes for tensor in large), default=0)


def _is_arbitrary(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype == ir.DataType.FLOAT and tensor.nbytes > EMBEDDED


def _empty() -> bytes:
    """Return a model of one operator on one number."""
    ends = [
        ir.Value(name=name, shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT))
        for name in ("x", "y")
    ]
    node = ir.Node("", "Abs", [ends[0]], outputs=[ends[1]])
    body = ir.Graph([ends[0]], [ends[1]], nodes=[node], opset_imports={"": 13}, name="empty")
    return _serialised(ir.Model(body, ir_version=8))


def _serialised(model: ir.Model) -> bytes:
    content: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return content


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
