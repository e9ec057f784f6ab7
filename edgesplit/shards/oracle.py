"""The oracle: the whole model in one process, and how far from it an answer may lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgesplit.dataflow.table import TaskTable
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs, varied_inputs
from edgesplit.plan.encoding import encodings_of
from edgesplit.plan.generators import promise
from edgesplit.runtime.session import open_session
from edgesplit.shards.rounded import rounded_file
from edgesplit.shards.store import Store

Array = NDArray[Any]
Arrays = Mapping[str, Array]

FLOOR = 1e-5
# One input shows between a third and all of a model's noise.
_SEEDS = range(4)


@dataclass(frozen=True, slots=True)
class Rounded:
    """What rounded activations cost: answers of the whole model with them, against without.

    `error` is the largest `max|difference| / max|y|` over so many `inputs`, `agreement` the share
    of them whose greatest score is the same; None where the answer is no list of scores.
    """

    error: float
    agreement: float | None
    inputs: int


class Oracle:
    """ONNX Runtime on the whole model, with the activations rounded that a dataflow rounds.

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
        self._encodings = encodings_of(graph, table) if table else {}

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Return the outputs by name."""
        return self._answer(self._session, inputs)

    def close(self) -> None:
        """Give the memory of the whole model back; it is loaded again when it is asked next."""
        self.__dict__.pop("_session", None)

    @cached_property
    def _session(self) -> ort.InferenceSession:
        with rounded_file(self._graph, self._encodings) as path:
            return open_session(path, self._threads, shared=False)

    def _answer(self, session: ort.InferenceSession, inputs: Arrays) -> dict[str, Array]:
        names = [port.name for port in self._graph.outputs]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    def tolerance(self, recovered: int = 0) -> float:
        """Return the largest error of an answer that is right, relative to `max|y|`.

        The larger of 1e-5 and three times the model's own noise floor; and what the parity code
        promises, once, where something was decoded: errors of coded layers don't compound. Where
        activations are rounded, twice what that costs is added: a number that other kernels, or
        decoding, round the other way is a whole step off, where rounding costs up to half of one.
        """
        lossy = 2 * self.rounded.error if self.rounded else 0.0
        noise = self.exact.noise if self.rounded else self.noise
        return max(FLOOR, 3 * noise) + lossy + (self._promise if recovered else 0.0)

    @cached_property
    def rounded(self) -> Rounded | None:
        """What rounding costs; None where nothing is rounded."""
        if not self._encodings:
            return None
        known = self._store.recall("rounded", *self._key) if self._store else None
        found = Rounded(**known) if known else self._measure_rounding()
        if self._store and not known:
            self._store.remember("rounded", *self._key, value=asdict(found))
        return found

    def _measure_rounding(self) -> Rounded:
        samples = varied_inputs(self._graph.inputs, _SEEDS)
        wanted = [self.exact.run(sample) for sample in samples]
        self.exact.close()
        return compare([self.run(sample) for sample in samples], wanted)

    @cached_property
    def exact(self) -> Oracle:
        """The oracle that rounds nothing."""
        return Oracle(self._graph, store=self._store, threads=self._threads)

    @property
    def _key(self) -> tuple[object, ...]:
        rounded = (tuple(self._encodings.items()),) if self._encodings else ()
        return (self._graph.digest, ort.__version__, *rounded)

    @cached_property
    def noise(self) -> float:
        """ONNX Runtime against itself: all optimisations against basic, relative to `max|y|`."""
        known = self._store.recall("noise", *self._key) if self._store else None
        noise = float(known["noise"]) if known else self._measure_noise()
        if self._store and not known:
            self._store.remember("noise", *self._key, value={"noise": noise})
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
        with rounded_file(self._graph, self._encodings) as path:
            session = ort.InferenceSession(path, options, ["CPUExecutionProvider"])
        return [self._answer(session, sample) for sample in samples]


def error(answer: Arrays, expected: Arrays) -> float:
    """Return the largest `max|difference| / max|y|` over the outputs; infinite where they clash.

    Elements that aren't finite must be the same in both; so must text.
    """
    return max(_error(answer[name], array) for name, array in expected.items())


def compare(answers: Sequence[Arrays], wanted: Sequence[Arrays]) -> Rounded:
    """Return how far answers with rounded activations are from those without."""
    pairs = list(zip(answers, wanted, strict=True))
    agreeing = [_agree(answer, exact) for answer, exact in pairs]
    told = [agreed for agreed in agreeing if agreed is not None]
    agreement = sum(told) / len(told) if told else None
    return Rounded(max(error(*pair) for pair in pairs), agreement, len(pairs))


def worst_promise(table: TaskTable) -> float:
    """Return the largest error that decoding any group of the table may add; 0 without parity."""
    groups = (group for task in table.tasks for need in task.inputs for group in need.groups)
    return max(
        (promise(group.k, len(group.parity)) for group in groups if group.parity), default=0.0
    )


def _agree(answer: Arrays, wanted: Arrays) -> bool | None:
    """Tell whether the greatest scores of two answers are the same; None where there are none."""
    arrays = tuple(wanted.values())
    if len(arrays) != 1 or not 1 < arrays[0].size == max(arrays[0].shape):
        return None
    (name,) = wanted
    return bool(answer[name].argmax() == wanted[name].argmax())


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
