"""Workloads: what a load sends, and what must come back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.table import Port
from edgesplit.operate.requests import Arrays

Oracle = Callable[[Arrays], Arrays]
"""The whole model in one process: inputs by name to outputs by name."""


@dataclass(frozen=True)
class Workload:
    """What is sent, in rotation, and what must come back.

    `expected` holds the outputs of each input, or is empty. `tolerance` bounds the largest
    difference relative to the largest expected value of an output. Where the deployment rounds
    activations, so does what is expected, and `exact` holds the outputs without.
    """

    inputs: Sequence[Arrays]
    expected: Sequence[Arrays] = ()
    tolerance: float = 1e-5
    exact: Sequence[Arrays] = ()

    def error(self, index: int, outputs: Arrays) -> float | None:
        """Return how far the answer to request `index` is off; infinite where it can't be told."""
        return self._off(self.expected, index, outputs)

    def rounding(self, index: int, outputs: Arrays) -> float | None:
        """Return how far the answer to request `index` is from that without rounding."""
        return self._off(self.exact, index, outputs)

    def _off(self, answers: Sequence[Arrays], index: int, outputs: Arrays) -> float | None:
        if not answers:
            return None
        wanted = answers[index % len(self.inputs)]
        return max(difference(outputs[name], wanted[name]) for name in wanted)

    def feeds(self, index: int) -> Arrays:
        """Return the inputs of request `index`."""
        return self.inputs[index % len(self.inputs)]


def difference(given: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return max|given - wanted| / max|wanted| over the finite values.

    NaN and infinities must be where they are wanted, and nowhere else; else it is infinite.
    """
    if given.shape != wanted.shape:
        return math.inf
    a, b = given.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return math.inf
    if not np.isfinite(a[finite]).all():
        return math.inf
    off = float(np.abs(a[finite] - b[finite]).max(initial=0.0))
    return off / (float(np.abs(b[finite]).max(initial=0.0)) or 1.0)


def random_inputs(ports: tuple[Port, ...], number: int, seed: int) -> tuple[Arrays, ...]:
    """Return `number` inputs: uniform in [0, 1) for floats, the whole range of a byte else."""
    rng = np.random.default_rng(seed)
    return tuple({port.name: _random(port, rng) for port in ports} for _ in range(number))


def _random(port: Port, rng: np.random.Generator) -> NDArray[Any]:
    kind = np.dtype(port.dtype).kind
    if kind == "f":
        return rng.random(port.shape).astype(port.dtype)
    high = {"b": 2, "i": 128}.get(kind, 256)
    return rng.integers(0, high, port.shape).astype(port.dtype)


def workload(
    ports: tuple[Port, ...], oracle: Oracle | None, *, number: int = 8, seed: int = 0, tol: float
) -> Workload:
    """Return a workload of seeded random inputs, checked against the oracle where there is one."""
    inputs = random_inputs(ports, number, seed)
    return Workload(inputs, tuple(map(oracle, inputs)) if oracle else (), tol)
