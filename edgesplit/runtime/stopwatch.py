"""How long a session takes when nothing disturbs it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np
import onnxruntime as ort

from edgesplit.dataflow.assembly import Array
from edgesplit.dataflow.table import Port

_AGREEING = 1.05
_RUNS = 3
_GLANCE, _FIRST_SECONDS = 4e-3, 1.0

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on measuring: for `least` good runs, and no longer than `longest` seconds."""

    least: int
    longest: float


class Yardstick:
    """A session that always does the same, beside which others are measured.

    Machines change their speed: clocks go up and down, and neighbours on the same processor come
    and go, several times a second on a shared machine. What counts is what was measured while the
    yardstick took hardly longer than it ever did. Where one core has a noisy neighbour, another
    may have none: sessions of one thread look for it.

    Args:
        session: The yardstick.
        feeds: Its inputs.
        cores: The cores that it may look for; none where sessions have several threads.
        best: The least seconds that it ever took here; by default it is looked for now.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        feeds: Mapping[str, Array],
        cores: Sequence[int] = (),
        best: float | None = None,
    ) -> None:
        self._session, self._feeds, self._cores = session, feeds, cores
        session.run(None, dict(feeds))
        self.best = best or inf
        if best is None:
            with pinned(cores):
                end = perf_counter() + _FIRST_SECONDS
                while perf_counter() < end:
                    self._quiet_look()

    def seconds(
        self, session: ort.InferenceSession, feeds: Mapping[str, Array], patience: Patience
    ) -> float:
        """Return how long a session takes with the machine at its best.

        Where it is never so for long enough, what comes nearest is taken in proportion.
        """
        session.run(None, dict(feeds))
        slowed: list[tuple[float, float]] = []
        good: list[float] = []
        end = perf_counter() + patience.longest
        with pinned(self._cores):
            while not slowed or (len(good) < patience.least and perf_counter() < end):
                before, taken, after = self._quiet_look(), _shortest(session, feeds), self._look()
                slow = max(before, after) / self.best
                if slow <= _AGREEING:
                    good.append(taken)
                slowed.append((slow, taken * 2 * self.best / (before + after)))
        return min(good) if good else min(slowed)[1]

    def _quiet_look(self) -> float:
        """Return how long it takes here, or on the first core on which it is at its best."""
        seen = self._look()
        for core in self._cores:
            if seen <= self.best * _AGREEING:
                return seen
            os.sched_setaffinity(0, {core})
            seen = self._look()
        return seen

    def _look(self) -> float:
        seen = min(_timed(self._session, self._feeds) for _ in range(_RUNS))
        self.best = min(self.best, seen)
        return seen


def free_cores() -> tuple[int, ...]:
    """Return the cores that this process may choose from; none where the system has no say."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Let this thread be moved from core to core, and everywhere again in the end."""
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def _shortest(session: ort.InferenceSession, feeds: Mapping[str, Array]) -> float:
    """Return the seconds of the fastest of a few runs: one, if it takes long."""
    times = [_timed(session, feeds)]
    while sum(times) < _GLANCE:
        times.append(_timed(session, feeds))
    return min(times)


def _timed(session: ort.InferenceSession, feeds: Mapping[str, Array]) -> float:
    start = perf_counter()
    session.run(None, dict(feeds))
    return perf_counter() - start


def ports(session: ort.InferenceSession) -> Iterator[Port]:
    """Yield what a session takes."""
    for one in session.get_inputs():
        dtype = _DTYPES.get(one.type) or one.type.removeprefix("tensor(").removesuffix(")")
        yield Port(one.name, tuple(one.shape), np.dtype(dtype).name)
