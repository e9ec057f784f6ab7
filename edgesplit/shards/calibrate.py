"""Costs for pacing: what a shard takes on a quiet core of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime as ort

from edgesplit.dataflow.table import Port
from edgesplit.graph.model import Graph
from edgesplit.runtime.session import open_session
from edgesplit.shards.oracle import random_inputs
from edgesplit.shards.store import Store

VERSION = 1
"""Of the way costs are measured; a new one measures anew."""

REPEATS = 7
"""Runs at least; more of them while they take less than `_SECONDS` together."""
_SECONDS, _MOST = 2.0, 50

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
}


def measure(digests: Iterable[str], store: Store, repeats: int = REPEATS) -> Mapping[str, float]:
    """Return the seconds one run of each shard takes, on one thread.

    The minimum of several runs, one shard after the other: noise only ever adds. Remembered by
    digest and version of ONNX Runtime.

    Args:
        digests: Shards in the store; each is measured once.
        store: Holds the shards and remembers their costs.
        repeats: Runs after the first, which warms up.
    """
    return {
        digest: _cost(store.path(digest, ".onnx"), digest, store, repeats)
        for digest in dict.fromkeys(digests)
    }


def whole_model_cost(graph: Graph, store: Store, repeats: int = REPEATS) -> float:
    """Return the seconds one run of the whole model takes, on one thread; see `measure`."""
    return _cost(graph.path, graph.digest, store, repeats)


def _cost(path: Path, digest: str, store: Store, repeats: int) -> float:
    key = (digest, repeats, VERSION, ort.__version__)
    memo = store.recall("cost", *key)
    if memo is not None:
        return float(memo["seconds"])
    seconds = _fastest(open_session(path, 1, shared=False), repeats)
    store.remember("cost", *key, value={"seconds": seconds})
    return seconds


def _fastest(session: ort.InferenceSession, repeats: int) -> float:
    feeds = random_inputs(map(_port, session.get_inputs()), seed=0)
    session.run(None, feeds)
    times: list[float] = []
    while len(times) < repeats or (sum(times) < _SECONDS and len(times) < _MOST):
        times.append(_timed(session, feeds))
    return min(times)


def _timed(session: ort.InferenceSession, feeds: Mapping[str, object]) -> float:
    start = perf_counter()
    session.run(None, dict(feeds))
    return perf_counter() - start


def _port(argument: ort.NodeArg) -> Port:
    dtype = _DTYPES.get(argument.type) or argument.type.removeprefix("tensor(").removesuffix(")")
    return Port(argument.name, tuple(argument.shape), np.dtype(dtype).name)
