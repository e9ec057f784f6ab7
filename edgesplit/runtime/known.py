"""Known answers: what a shard makes of inputs that controller and device each make themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.table import Port, Task

SAMPLES = 32
"""Elements of an output that are compared, at most."""
TOLERANCE = 1e-3
"""Largest difference of an element that is right, relative to the output's largest."""

# Halves of this many steps either way are exact in every floating type.
_STEPS = 128


class Known(TypedDict):
    """What is known of one output: its largest finite `|y|`, and some of its elements in order.

    An element is None where it is not finite: that proves nothing.
    """

    scale: float
    samples: Sequence[float | None]


def known_inputs(ports: Iterable[Port], digest: str) -> dict[str, NDArray[Any]]:
    """Return the inputs that belong to a shard: floats in [-1, 1), bytes, other integers 0 or 1.

    They follow from the shard's digest alone, on every machine and with every version of numpy.
    """
    return {port.name: _array(port, digest) for port in ports}


def known_feeds(task: Task) -> dict[str, NDArray[Any]]:
    """Return the known inputs of a task's shard."""
    ports = (Port(need.name, need.region.shape, need.dtype) for need in task.inputs)
    return known_inputs(ports, str(task.shard))


def sample(array: NDArray[Any]) -> Known:
    """Return what is to be known of an output."""
    finite = np.abs(array[np.isfinite(array)].astype(np.float64))
    picked = _picked(array)
    return {
        "scale": _short(finite.max(initial=0.0)),
        "samples": [_short(x) if np.isfinite(x) else None for x in picked],
    }


def agrees(array: NDArray[Any], known: Known) -> bool:
    """Tell whether an output is what is known of it; an integer may be rounded the other way."""
    picked = _picked(array)
    expected = np.array([np.nan if x is None else x for x in known["samples"]], np.float64)
    if picked.shape != expected.shape:
        return False
    telling = np.isfinite(expected)
    slack = TOLERANCE * known["scale"] + (array.dtype.kind in "iu")
    return bool((np.abs(picked - expected)[telling] <= slack).all())


def _array(port: Port, digest: str) -> NDArray[Any]:
    count = int(np.prod(port.shape, dtype=np.int64))
    drawn = hashlib.shake_128(f"{digest}/{port.name}".encode()).digest(count)
    raw, dtype = np.frombuffer(drawn, np.uint8).reshape(port.shape), np.dtype(port.dtype)
    if dtype.kind == "f":
        return np.asarray((raw.astype(dtype) - _STEPS) / _STEPS, dtype)
    return raw.copy() if dtype == np.uint8 else (raw & 1).astype(dtype)


def _picked(array: NDArray[Any]) -> NDArray[np.float64]:
    """Return evenly spread elements."""
    count = min(SAMPLES, array.size)
    return array.reshape(-1)[np.arange(count) * array.size // max(1, count)].astype(np.float64)


def _short(number: float) -> float:
    """Return a number with far more digits than are compared, and no more."""
    return float(f"{number:.6g}")
