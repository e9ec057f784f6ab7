"""Costs for pacing: what a shard takes on a quiet core of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import onnxruntime as ort

from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.runtime.session import open_session
from edgesplit.runtime.stopwatch import Patience, fastest, ports
from edgesplit.shards.store import Store

VERSION = 1
"""Of the way costs are measured; a new one measures anew."""

REPEATS = 7
"""Runs at least; more of them while they take less than `_SECONDS` together."""
_SECONDS, _MOST = 2.0, 50


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
    patience = Patience(repeats, seconds=_SECONDS, longest=_SECONDS, most=_MOST)
    return fastest(session, random_inputs(ports(session), seed=0), patience)
