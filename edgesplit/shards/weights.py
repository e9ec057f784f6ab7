"""The weights file of a shard: tensors one behind the other, laid out for memory mapping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgesplit.shards.store import Store

EMBEDDED = 1024
"""Tensors of at most this many bytes stay in the ONNX file: shape inference reads them there."""

SUFFIX = ".weights"
_PAGE = 4096
_VECTOR = 64
_CHUNK = 4 << 20


def externalise(
    tensors: Sequence[ir.TensorProtocol], store: Store
) -> tuple[list[ir.TensorProtocol], str | None]:
    """Write the tensors that are too large to embed and return all of them, in order.

    Tensors of a page or more begin on a page, smaller ones on a vector's boundary, so that what is
    mapped is aligned. Tensors are read from the model's file as they are written: never more than
    a few MiB of them are in memory.

    Args:
        tensors: Constants of a sub-model, those of the model's own file included.
        store: Takes the weights file.

    Returns:
        The tensors, the large ones referring to the weights file; and that file's digest, None
        where nothing is large enough.
    """
    large = [tensor for tensor in tensors if _is_large(tensor)]
    if not large:
        return [embedded(tensor) for tensor in tensors], None
    places = offsets(large)
    digest = store.put(_stream(large, places), SUFFIX)
    moved = {
        id(tensor): reference(tensor, f"{digest}{SUFFIX}", place)
        for tensor, place in zip(large, places, strict=True)
    }
    return [moved.get(id(tensor)) or embedded(tensor) for tensor in tensors], digest


def _is_large(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype != ir.DataType.STRING and tensor.nbytes > EMBEDDED


def offsets(tensors: Sequence[ir.TensorProtocol]) -> list[int]:
    """Return where in a weights file each tensor begins."""
    places, end = list[int](), 0
    for tensor in tensors:
        boundary = _PAGE if tensor.nbytes >= _PAGE else _VECTOR
        start = -(-end // boundary) * boundary
        places.append(start)
        end = start + tensor.nbytes
    return places


def _stream(
    tensors: Sequence[ir.TensorProtocol], places: Sequence[int]
) -> Iterator[bytes | memoryview]:
    end = 0
    for tensor, offset in zip(tensors, places, strict=True):
        yield bytes(offset - end)
        yield from _chunks(tensor)
        end = offset + tensor.nbytes


def _chunks(tensor: ir.TensorProtocol) -> Iterator[bytes | memoryview]:
    if tensor.dtype.bitwidth < 8:
        yield tensor.tobytes()
        return
    array: NDArray[Any] = tensor.numpy()
    step = max(1, _CHUNK // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        part = np.ascontiguousarray(array[start : start + step])
        yield part.reshape(-1).view(np.uint8).data


def embedded(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """Return the tensor with its bytes; in the model's file it may have been external."""
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    return ir.Tensor(tensor.numpy().copy(), dtype=tensor.dtype, name=tensor.name)


def reference(tensor: ir.TensorProtocol, location: str, offset: int) -> ir.ExternalTensor:
    """Return the tensor as one whose bytes are in the file at `location`, from `offset` on."""
    return ir.ExternalTensor(
        location,
        offset,
        tensor.nbytes,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
    )
