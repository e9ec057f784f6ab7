"""The shards of an allocation against the whole model, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.check import check
from edgesplit.plan.lower import lower
from edgesplit.shards.builder import build
from edgesplit.shards.oracle import Arrays, Oracle, error
from edgesplit.shards.stitched import Stitched
from edgesplit.shards.store import Store


def compare(graph: Graph, allocation: Allocation, folder: Path) -> None:
    """Run all shards of an allocation in this process, and the whole model beside them."""
    check(graph, allocation)
    store = Store(folder)
    built = build(graph, lower(graph, allocation), folder)
    oracle = Oracle(graph, built.table, store=store, threads=1)
    inputs = random_inputs(graph.inputs, 1)
    (answer,) = Stitched(built.table, store, threads=1).run(inputs)
    assert answer is not None
    assert_right(oracle, inputs, answer.outputs)


def assert_right(oracle: Oracle, inputs: Arrays, answer: Arrays, recovered: int = 0) -> None:
    """Compare with the whole model, whose own response to noise an answer may differ by."""
    wanted = oracle.run(inputs)
    rng = np.random.default_rng(2)
    noisy = {name: _noisy(rng, x) for name, x in inputs.items()}
    own = error(oracle.run(noisy), wanted)
    assert error(answer, wanted) <= oracle.tolerance(recovered) + 10 * own


def _noisy(rng: np.random.Generator, x: NDArray[Any]) -> NDArray[Any]:
    return x + 1e-6 * rng.standard_normal(x.shape).astype(x.dtype) if x.dtype.kind == "f" else x
