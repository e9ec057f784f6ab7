"""The answer that a whole deployment must give to one known request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgesplit.dataflow.table import Port, TaskTable
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.plan.encoding import rounded_values
from edgesplit.shards.oracle import Oracle, worst_promise
from edgesplit.shards.store import Store

VERSION = 1
"""Of what is kept of an answer; a new one asks the whole model anew."""

SAMPLES = 4096
"""Elements of an output that are compared, at most."""

_SEED = 1


@dataclass(frozen=True)
class Expected:
    """A request and what the whole model answers to it, rounding what the deployment rounds.

    `outputs` holds, by output name, the largest `|y|` and evenly spread elements; `tolerance` is
    relative to the largest.
    """

    ports: tuple[Port, ...]
    outputs: Mapping[str, tuple[float, tuple[float, ...]]]
    tolerance: float

    @cached_property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """The request."""
        return random_inputs(self.ports, _SEED)

    def error(self, outputs: Mapping[str, NDArray[Any]]) -> float:
        """Return the largest difference over the outputs, relative to the largest `|y|`."""
        return max(
            _error(_picked(outputs[name]), np.array(picked), scale)
            for name, (scale, picked) in self.outputs.items()
        )


def expected(graph: Graph, table: TaskTable, store: Store) -> Expected:
    """Return a request with the whole model's answer, which the store remembers.

    Args:
        graph: The imported model.
        table: Its dataflow, whose codes say what decoding may cost.
        store: Keeps the answer.
    """
    if (known := remembered(graph.digest, table, store)) is not None:
        return known
    oracle = Oracle(graph, table, store=store)
    answer = oracle.run(random_inputs(graph.inputs, _SEED))
    outputs = {name: (_scale(array), _picked(array).tolist()) for name, array in answer.items()}
    value = {"outputs": outputs, "tolerance": oracle.tolerance()}
    store.remember("expected", *_key(graph.digest, table), value=value)
    return _expected(value, table)


def remembered(digest: str, table: TaskTable, store: Store) -> Expected | None:
    """Return what `expected` found for the graph of this digest, None where it never did."""
    memo = store.recall("expected", *_key(digest, table))
    return None if memo is None else _expected(memo, table)


def _key(digest: str, table: TaskTable) -> tuple[object, ...]:
    return (digest, _SEED, SAMPLES, VERSION, ort.__version__, *rounded_values(table))


def _expected(memo: Mapping[str, Any], table: TaskTable) -> Expected:
    outputs = {name: (scale, tuple(picked)) for name, (scale, picked) in memo["outputs"].items()}
    return Expected(table.inputs, outputs, memo["tolerance"] + worst_promise(table))


def _scale(array: NDArray[Any]) -> float:
    return float(np.abs(array[np.isfinite(array)].astype(np.float64)).max(initial=0.0))


def _picked(array: NDArray[Any]) -> NDArray[np.float64]:
    count = min(SAMPLES, array.size)
    return array.reshape(-1)[np.arange(count) * array.size // max(1, count)].astype(np.float64)


def _error(got: NDArray[np.float64], wanted: NDArray[np.float64], scale: float) -> float:
    """Return the largest difference of finite elements; infinite where the others differ."""
    finite = np.isfinite(wanted)
    if got.shape != wanted.shape or not np.array_equal(
        got[~finite], wanted[~finite], equal_nan=True
    ):
        return float("inf")
    difference = float(np.abs(got[finite] - wanted[finite]).max(initial=0.0))
    if not difference:
        return 0.0
    return difference / scale if scale and np.isfinite(difference) else float("inf")
