"""How long a session takes when nothing disturbs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import perf_counter

import numpy as np
import onnxruntime as ort

from edgesplit.dataflow.assembly import Array
from edgesplit.dataflow.table import Port

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
}


def fastest(
    session: ort.InferenceSession, feeds: Mapping[str, Array], least: int, seconds: float, most: int
) -> float:
    """Return the seconds of the fastest of several runs, after one that warms up: noise only adds.

    Args:
        session: What to run.
        feeds: Its inputs.
        least: Runs at least.
        seconds: More of them while they take less than this together,
        most: and are fewer than this.
    """
    session.run(None, dict(feeds))
    times: list[float] = []
    while len(times) < least or (sum(times) < seconds and len(times) < most):
        start = perf_counter()
        session.run(None, dict(feeds))
        times.append(perf_counter() - start)
    return min(times)


def ports(session: ort.InferenceSession) -> Iterator[Port]:
    """Yield what a session takes."""
    for one in session.get_inputs():
        dtype = _DTYPES.get(one.type) or one.type.removeprefix("tensor(").removesuffix(")")
        yield Port(one.name, tuple(one.shape), np.dtype(dtype).name)
