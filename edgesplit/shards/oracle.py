"""The oracle: the whole model in one process, and how far from it an answer may lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgesplit.dataflow.table import Port, TaskTable
from edgesplit.graph.model import Graph
from edgesplit.plan.generators import promise
from edgesplit.runtime.session import open_session
from edgesplit.shards.store import Store

Array = NDArray[Any]
Arrays = Mapping[str, Array]

FLOOR = 1e-5
# One input shows between a third and all of a model's noise.
_SEEDS = range(4)


class Oracle:
    """ONNX Runtime on the whole model.

    Args:
        graph: The imported model.
        table: The dataflow that is to be compared; its codes determine what decoding may cost.
        store: Keeps the measured noise floor; measured anew without it.
        threads: Threads of ONNX Runtime; 0 for one a core.
    """

    def __init__(
        self,
        graph: Graph,
        table: TaskTable | None = None,
        *,
        store: Store | None = None,
        threads: int = 0,
    ) -> None:
        self._graph = graph
        self._store = store
        self._threads = threads
        self._promise = worst_promise(table) if table else 0.0

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Return the outputs by name."""
        return self._answer(self._session, inputs)

    def close(self) -> None:
        """Give the memory of the whole model back; it is loaded again when it is asked next."""
        self.__dict__.pop("_session", None)

    @cached_property
    def _session(self) -> ort.InferenceSession:
        return open_session(self._graph.path, self._threads, shared=False)

    def _answer(self, session: ort.InferenceSession, inputs: Arrays) -> dict[str, Array]:
        names = [port.name for port in self._graph.outputs]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    def tolerance(self, recovered: int = 0) -> float:
        """Return the largest error of an answer that is right, relative to `max|y|`.

        The larger of 1e-5 and three times the model's own noise floor; and what the parity code
        promises, once, where something was decoded: errors of coded layers don't compound.
        """
        return max(FLOOR, 3 * self.noise) + (self._promise if recovered else 0.0)

    @cached_property
    def noise(self) -> float:
        """ONNX Runtime against itself: all optimisations against basic, relative to `max|y|`."""
        key = (self._graph.digest, ort.__version__)
        known = self._store.recall("noise", *key) if self._store else None
        noise = float(known["noise"]) if known else self._measure_noise()
        if self._store and not known:
            self._store.remember("noise", *key, value={"noise": noise})
        return noise

    def _measure_noise(self) -> float:
        samples = [random_inputs(self._graph.inputs, seed) for seed in _SEEDS]
        plain = self._plain(samples)
        return max(
            error(answer, self.run(sample)) for answer, sample in zip(plain, samples, strict=True)
        )

    def _plain(self, samples: Iterable[Arrays]) -> list[dict[str, Array]]:
        """Answer with other kernels than devices use: weights are packed, too."""
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.intra_op_num_threads = self._threads
        session = ort.InferenceSession(self._graph.path, options, ["CPUExecutionProvider"])
        return [self._answer(session, sample) for sample in samples]


def error(answer: Arrays, expected: Arrays) -> float:
    """Return the largest `max|difference| / max|y|` over the outputs; infinite where they clash.

    Elements that aren't finite must be the same in both; so must text.
    """
    return max(_error(answer[name], array) for name, array in expected.items())


def random_inputs(ports: Iterable[Port], seed: int) -> dict[str, Array]:
    """Return seeded inputs: normal floats, bytes of any value, other integers 0 or 1."""
    source = np.random.default_rng(seed)
    return {port.name: _sample(source, port) for port in ports}


def worst_promise(table: TaskTable) -> float:
    """Return the largest error that decoding any group of the table may add; 0 without parity."""
    groups = (group for task in table.tasks for need in task.inputs for group in need.groups)
    return max(
        (promise(group.k, len(group.parity)) for group in groups if group.parity), default=0.0
    )


def _sample(source: np.random.Generator, port: Port) -> Array:
    dtype = np.dtype(port.dtype)
    if dtype.kind == "f":
        return source.standard_normal(port.shape).astype(dtype)
    highest = 256 if dtype == np.uint8 else 2
    return source.integers(0, highest, port.shape).astype(dtype)


def _error(answer: Array, expected: Array) -> float:
    if answer.shape != expected.shape or answer.dtype != expected.dtype:
        return float("inf")
    if expected.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(answer, expected) else float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(answer[~finite], expected[~finite], equal_nan=expected.dtype.kind == "f"):
        return float("inf")
    right = expected[finite].astype(np.float64)
    difference = np.abs(answer[finite].astype(np.float64) - right).max(initial=0.0)
    scale = np.abs(right).max(initial=0.0)
    if not difference:
        return 0.0
    return float(difference / scale) if np.isfinite(difference) and scale else float("inf")
