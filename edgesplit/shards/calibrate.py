"""Costs for pacing: what a shard takes on a quiet core of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnxruntime as ort

from edgesplit.dataflow.assembly import Array
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.runtime.session import open_session
from edgesplit.runtime.stopwatch import Patience, Yardstick, free_cores, ports
from edgesplit.shards.store import Store

VERSION = 3
"""Of the way costs are measured; a new one measures anew."""

REPEATS = 2
"""Runs that count, with the machine at its best; fewer of them where that takes too long."""
_LONGEST = 0.6


def measure(digests: Iterable[str], store: Store, repeats: int = REPEATS) -> Mapping[str, float]:
    """Return the seconds one run of each shard takes, on one thread.

    The minimum of several runs, one shard after the other: noise only ever adds. They count while
    a yardstick says that the machine is at its best. Remembered by digest and version of ONNX
    Runtime.

    Args:
        digests: Shards in the store; each is measured once.
        store: Holds the shards and remembers their costs.
        repeats: Runs that count.
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
    with _yardstick(store) as beside:
        seconds = beside.seconds(*_opened(path), Patience(repeats, _LONGEST))
    store.remember("cost", *key, value={"seconds": seconds})
    return seconds


@contextmanager
def _yardstick(store: Store) -> Iterator[Yardstick]:
    """Yield the yardstick, and remember the best that it was ever seen at."""
    from edgesplit.shards.yardstick import yardstick  # noqa: PLC0415 - onnx_ir takes half a second

    digest = store.put([yardstick()], ".onnx")
    memo = store.recall("yardstick", digest, ort.__version__)
    best = memo and float(memo["seconds"])
    made = Yardstick(*_opened(store.path(digest, ".onnx")), free_cores(), best)
    yield made
    store.remember("yardstick", digest, ort.__version__, value={"seconds": made.best})


def _opened(path: Path) -> tuple[ort.InferenceSession, Mapping[str, Array]]:
    session = open_session(path, 1, shared=False)
    return session, random_inputs(ports(session), seed=0)
