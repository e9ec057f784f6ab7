"""How values may travel: encodings for a model's floats, from what they were seen to be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgesplit.files import replacing
from edgesplit.graph.model import Encoding, Graph, Value
from edgesplit.graph.samples import flat_inputs, varied_inputs

VERSION = 1
"""Of the way ranges are found; a new one runs the model anew."""

_SEEDS = range(1000, 1004)
_LARGEST = 255

Request = Mapping[str, NDArray[Any]]
"""A model's inputs by name."""
Ranges = Mapping[str, tuple[float, float]]
"""The least and the greatest number seen of each value, and 0."""


def with_encodings(
    graph: Graph, dtype: Literal["float16", "uint8"], requests: Sequence[Request] = ()
) -> Graph:
    """Return the graph with an encoding for each float32 value that it makes inside.

    For uint8 the whole model is run on twelve random requests, and on those given; what was seen
    is kept beside its file. The request and the answer have no encoding.

    Raises:
        ModelError: ONNX Runtime can't run the model.
    """
    outside = {port.name for port in (*graph.inputs, *graph.outputs)}
    inside = [value for value in graph.values.values() if _is_activation(value, outside)]
    if dtype == "float16":
        encodings = {value.name: Encoding("float16") for value in inside}
    else:
        seen = _ranges(graph, [value.name for value in inside], requests)
        encodings = {value.name: _affine(*seen[value.name]) for value in inside}
    values = {n: replace(v, encoding=encodings.get(n)) for n, v in graph.values.items()}
    return replace(graph, values=values)


def _is_activation(value: Value, outside: set[str]) -> bool:
    inside = value.portable and not value.constant and value.name not in outside
    return inside and value.dtype == "float32"


def _affine(lo: float, hi: float) -> Encoding:
    """Return the encoding of a range that holds 0, which is exact in it."""
    scale = float(np.float32((hi - lo) / _LARGEST)) or 1.0
    return Encoding("uint8", scale, min(_LARGEST, max(0, round(-lo / scale))))


def _ranges(graph: Graph, names: Sequence[str], requests: Sequence[Request]) -> Ranges:
    path = graph.path.with_name(f"ranges-{VERSION}{_mark(requests)}.json")
    try:
        known: Ranges = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = _measured(graph, names, requests)
        with replacing(path) as partial:
            partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known


def _mark(requests: Sequence[Request]) -> str:
    """Return what tells one set of requests from another in a file's name."""
    if not requests:
        return ""
    hasher = hashlib.sha256()
    for request in requests:
        for name, array in request.items():
            hasher.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return f"-{hasher.hexdigest()[:32]}"


def _measured(graph: Graph, names: Sequence[str], requests: Sequence[Request]) -> Ranges:
    # Only a plan with bytes on the wire needs them, and onnx takes half a second to load.
    from edgesplit.graph.folding import watch  # noqa: PLC0415 - start-up time

    seen: dict[str, tuple[float, float]] = {}
    noise, flat = varied_inputs(graph.inputs, _SEEDS), flat_inputs(graph.inputs, _SEEDS)
    # Images are between noise and flat colours.
    every = (*noise, *flat, *requests)
    for name, array in watch(graph.path, names, every):
        (lo, hi), (least, greatest) = _range(array), seen.get(name, (0.0, 0.0))
        seen[name] = (min(lo, least), max(hi, greatest))
    return seen


def _range(array: NDArray[Any]) -> tuple[float, float]:
    """Return least and greatest to three digits, so that the last bits of a run don't matter."""
    finite = array[np.isfinite(array)]
    least, greatest = finite.min(initial=0.0), finite.max(initial=0.0)
    return float(f"{least:.3g}"), float(f"{greatest:.3g}")
