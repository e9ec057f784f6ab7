"""Costs for pacing: what a shard takes on a quiet core of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import onnxruntime as ort

from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.runtime.session import open_session
from edgesplit.runtime.stopwatch import Patience, Yardstick, ports
from edgesplit.shards.store import Store
from edgesplit.shards.yardstick import yardstick

VERSION = 2
"""Of the way costs are measured; a new one measures anew."""

REPEATS = 7
"""Runs at least; more of them while they take less than `_SECONDS` together."""
_SECONDS, _LONGEST, _MOST = 0.3, 2.0, 50


def measure(digests: Iterable[str], store: Store, repeats: int = REPEATS) -> Mapping[str, float]:
    """Return the seconds one run of each shard takes, on one thread.

    The minimum of several runs, one shard after the other: noise only ever adds. They are
    measured beside a yardstick, as on a machine that is always as fast as when the first was.
    Remembered by digest and version of ONNX Runtime.

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
    session = open_session(path, 1, shared=False)
    patience = Patience(repeats, seconds=_SECONDS, longest=_LONGEST, most=_MOST)
    feeds = random_inputs(ports(session), seed=0)
    yardstick, length = _yardstick(store)
    seconds = length * yardstick.lengths(session, feeds, patience)
    store.remember("cost", *key, value={"seconds": seconds})
    return seconds


def _yardstick(store: Store) -> tuple[Yardstick, float]:
    """Return the yardstick, and the seconds that it took when it was first used here."""
    content = yardstick()
    digest = store.put([content], ".onnx")
    session = open_session(store.path(digest, ".onnx"), 1, shared=False)
    made = Yardstick(session, random_inputs(ports(session), seed=0))
    memo = store.recall("yardstick", digest, ort.__version__)
    if memo is None:
        memo = {"seconds": made.seconds()}
        store.remember("yardstick", digest, ort.__version__, value=memo)
    return made, float(memo["seconds"])
