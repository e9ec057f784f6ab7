"""From a model file to what it means: the ONNX file, the preprocessing, the labels."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from edgesplit.errors import ModelError
from edgesplit.spec.model import ModelSpec, Preprocessing, Source
from edgesplit.zoo.catalogue import Description, build, describe
from edgesplit.zoo.inputs import read_labels


def resolve(source: Source, cache: Path) -> Path:
    """Return the ONNX file of a model: the file named, or the built-in one, built on demand.

    Raises:
        ModelError: There is no such file or built-in model, or it can't be built.
    """
    if source.zoo is not None:
        return build(source.zoo, dict(source.parameters), cache)
    if source.path is None:
        raise ModelError("the model file names no model", remedy="give an ONNX file or `zoo:`")
    if not source.path.is_file():
        raise _missing(source.path)
    return source.path


def preprocessing_of(spec: ModelSpec) -> Preprocessing:
    """Return the preprocessing that the model file gives, else the built-in model's own."""
    described, said = _described(spec.source), spec.preprocessing
    if described is None or replace(said, dtype="float32") != Preprocessing():
        return said
    return replace(described.preprocessing, dtype=said.dtype)


def labels_of(spec: ModelSpec) -> tuple[str, ...]:
    """Return the labels that the model file names, else the built-in model's; empty if neither.

    Raises:
        UsageError: The labels file can't be read.
    """
    if spec.labels is not None:
        return read_labels(spec.labels)
    described = _described(spec.source)
    return described.labels if described else ()


def _described(source: Source) -> Description | None:
    return describe(source.zoo, dict(source.parameters)) if source.zoo is not None else None


def _missing(path: Path) -> ModelError:
    if path.is_dir():
        return ModelError(f"{path} is a folder", remedy="name the ONNX file in it")
    siblings = [file.name for file in path.parent.glob("*.onnx")]
    close = get_close_matches(path.name, siblings, n=1)
    remedy = f"did you mean {close[0]}?" if close else "check the path in the model file"
    return ModelError(f"there is no model {path}", remedy=remedy)
