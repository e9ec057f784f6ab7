"""Reading of an ONNX file with nothing trusted: what is wrong is said before anything runs it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import ModelProto

from edgesplit.errors import ModelError
from edgesplit.graph import store
from edgesplit.graph.external import external_files
from edgesplit.graph.naming import name_nodes


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: its message, external data left where it is.

    `digest` is over the file and its data files; `marks` are their fingerprints from before.
    """

    path: Path
    model: ModelProto
    digest: str
    marks: dict[str, list[int]]


def read_source(path: Path) -> Source:
    """Return what an ONNX file holds, nodes named and weights taken out of the inputs.

    Raises:
        ModelError: The file is missing, damaged or holds no operators, or its external data is
            not to be trusted or not complete.
    """
    try:
        return _source(path)
    except OSError as error:
        raise ModelError(
            f"can't be read: {error.strerror}", where=str(path), remedy="check the path"
        ) from error


def _source(path: Path) -> Source:
    marks = {str(path.absolute()): store.fingerprint(path)}
    data = path.read_bytes()
    model = _parsed(data, path)
    digest = hashlib.sha256(data)
    for file in external_files(model, path):
        marks[str(file)] = store.fingerprint(file)
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    _constant_weights(model)
    name_nodes(model.graph.node)
    return Source(path, model, digest.hexdigest(), marks)


def _parsed(data: bytes, path: Path) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise _damaged("is no ONNX model, or a damaged one", path) from error
    if not model.graph.node:
        raise _damaged("holds no operators", path)
    return model


def _damaged(what: str, path: Path) -> ModelError:
    return ModelError(what, where=str(path), remedy="export or download the model again")


def _constant_weights(model: ModelProto) -> None:
    """Take weights out of the inputs: ONNX Runtime folds no constant that could be overridden."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, 4)
