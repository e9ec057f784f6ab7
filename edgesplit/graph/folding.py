"""ONNX Runtime at import: it folds the model, and says what every value looks like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, helper

from edgesplit.dataflow.table import Port
from edgesplit.errors import ModelError
from edgesplit.runtime.failures import ORT_FAILURES

Array = NDArray[Any]

BATCH_BYTES = 256 << 20
"""Bytes of values that one measuring run holds at most, as far as they are known before."""

WEIGHTS_FROM = 1024
"""Bytes from which a constant is stored beside the folded model instead of in it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What ONNX Runtime made of a value: numpy dtype name and shape, or its type's own text.

    `inferred` tells whether it also knew the shape before running.
    """

    shape: tuple[int, ...]
    dtype: str
    tensor: bool
    inferred: bool


def fold(model: ModelProto, folder: Path, target: Path, where: str) -> None:
    """Write the model, constants folded and batch norms merged, to `target` and a file beside it.

    `folder` holds the model's external data, `where` is its name in messages. Large weights go to
    `target` with the suffix `.weights`.

    Raises:
        ModelError: ONNX Runtime can't read or prepare the model.
    """
    options = _options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    for key, text in {
        "model_external_initializers_file_folder_path": str(folder),
        "optimized_model_external_initializers_file_name": target.with_suffix(".weights").name,
        "optimized_model_external_initializers_min_size_in_bytes": str(WEIGHTS_FROM),
    }.items():
        options.add_session_config_entry(f"session.{key}", text)
    _session(model.SerializeToString(), options, where)


def measure(path: Path, inputs: Sequence[Port], where: str) -> dict[str, Measured]:
    """Run a folded model on zeros and return what each of its nodes' outputs is.

    Raises:
        ModelError: ONNX Runtime can't run the model.
    """
    session = _session(str(path), _plain_options(), where)
    known = {out.name: tuple(out.shape) for out in session.get_outputs()}
    feeds = {
        port.name: ort.OrtValue.ortvalue_from_numpy(np.zeros(port.shape, port.dtype))
        for port in inputs
    }
    found: dict[str, Measured] = {}
    for names in _batches(known):
        try:
            values = session.run_with_ort_values(names, feeds)
        except ORT_FAILURES as error:
            raise _refusal("can't be run", error, where) from error
        for name, value in zip(names, values, strict=True):
            found[name] = _measured(value, inferred=_static(known[name]))
    return found


def watch(
    path: Path, names: Iterable[str], requests: Iterable[Mapping[str, Array]]
) -> Iterator[tuple[str, Array]]:
    """Run a folded model on each request and yield values inside it, with their names.

    Raises:
        ModelError: ONNX Runtime can't run the model.
    """
    model = publish(onnx.load(path, load_external_data=False), names)
    options = ort.SessionOptions()
    key = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(key, str(path.parent))
    session = _session(model.SerializeToString(), options, str(path))
    shapes = {out.name: tuple(out.shape) for out in session.get_outputs()}
    for request in requests:
        for batch in _batches(shapes):
            try:
                arrays = session.run(batch, dict(request))
            except ORT_FAILURES as error:
                raise _refusal("can't be run", error, str(path)) from error
            yield from zip(batch, arrays, strict=True)


def publish_all(model: ModelProto) -> ModelProto:
    """Return a copy of the model in which every node's output is an output of the model."""
    return publish(model, (out for node in model.graph.node for out in node.output if out))


def publish(model: ModelProto, values: Iterable[str]) -> ModelProto:
    """Return a copy of the model that has these values as outputs."""
    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    names = dict.fromkeys(values)
    probe.graph.output.extend(ValueInfoProto(name=name) for name in names)
    return probe


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def _plain_options() -> ort.SessionOptions:
    options = _options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _session(model: str | bytes, options: ort.SessionOptions, where: str) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except ORT_FAILURES as error:
        raise _refusal("is not a model that ONNX Runtime can prepare", error, where) from error


def _refusal(what: str, error: Exception, where: str) -> ModelError:
    reason = str(error).partition("\n")[0]
    return ModelError(
        f"{what}: {reason}",
        where=where,
        remedy="check that the file is complete and runs in ONNX Runtime on its own",
    )


def _static(shape: tuple[int | str | None, ...]) -> bool:
    return all(isinstance(extent, int) for extent in shape)


def _batches(known: Mapping[str, tuple[int | str | None, ...]]) -> Iterator[list[str]]:
    """Group outputs so that a run holds a bounded number of bytes; 8 an element."""
    batch: list[str] = []
    held = 0
    for name, shape in known.items():
        size = 8 * prod(extent for extent in shape if isinstance(extent, int))
        if batch and held + size > BATCH_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += size
    if batch:
        yield batch


def _measured(value: ort.OrtValue, *, inferred: bool) -> Measured:
    if not value.is_tensor():
        return Measured((), value.data_type(), tensor=False, inferred=inferred)
    dtype = helper.tensor_dtype_to_np_dtype(value.element_type()).name
    return Measured(tuple(value.shape()), dtype, tensor=dtype != "object", inferred=inferred)
