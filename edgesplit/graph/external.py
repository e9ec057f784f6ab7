"""External data of an ONNX file: it may lie in the model's folder only, and must be all there.

A crafted file can name any path of the machine that loads it (CVE-2024-27318, CVE-2024-5187), so
this is checked before ONNX Runtime sees the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, external_data_helper, helper

from edgesplit.errors import ModelError

_REMEDY = "get the model again together with its data files, all in one folder of plain files"


def external_files(model: ModelProto, path: Path) -> tuple[Path, ...]:
    """Return the data files of a model, each once, having checked every reference to them.

    Raises:
        ModelError: A reference is absolute, climbs out of the folder, is or crosses a link that
            leaves it, names a missing file, or bytes beyond the file's end.
    """
    found: dict[Path, None] = {}
    for tensor in _tensors(model):
        if external_data_helper.uses_external_data(tensor):
            found[_checked(tensor, path)] = None
    return tuple(found)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterator[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _of_graph(graph)


def _checked(tensor: TensorProto, path: Path) -> Path:
    """Return the data file of one tensor."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file = _located(tensor.name, entries.get("location", ""), path)
    offset = _count(tensor.name, "offset", entries.get("offset", "0"), path)
    expected = _nbytes(tensor)
    length = _count(tensor.name, "length", entries.get("length", str(expected)), path)
    size = file.stat().st_size
    if offset + max(length, expected) > size or length < expected:
        raise ModelError(
            f"weight {tensor.name!r} takes bytes {offset} to {offset + max(length, expected)} "
            f"of {file.name}, which holds {size}",
            where=str(path),
            remedy=_REMEDY,
        )
    return file


def _located(tensor: str, location: str, path: Path) -> Path:
    """Return the real path of a data file, which lies within the model's folder."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    outside = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if not location or outside or not file.is_relative_to(folder):
        raise ModelError(
            f"weight {tensor!r} refers to {location!r}, outside the model's folder",
            where=str(path),
            remedy="only trust models whose data files lie beside them; " + _REMEDY,
        )
    if not file.is_file():
        raise ModelError(
            f"weight {tensor!r} refers to {location!r}, which is missing",
            where=str(path),
            remedy=_REMEDY,
        )
    return file


def _count(tensor: str, key: str, text: str, path: Path) -> int:
    if not text.isdecimal():
        raise ModelError(
            f"weight {tensor!r} has the {key} {text!r}, not a count of bytes",
            where=str(path),
            remedy=_REMEDY,
        )
    return int(text)


def _nbytes(tensor: TensorProto) -> int:
    """Return the bytes that a tensor of this shape and type occupies; 4-bit types share bytes."""
    if tensor.data_type in {TensorProto.UNDEFINED, TensorProto.STRING}:
        return 0
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    bits = 4 if dtype.name.endswith("int4") or dtype.name.startswith("float4") else None
    return -(-prod(map(int, tensor.dims)) * (bits or int(dtype.itemsize) * 8) // 8)
