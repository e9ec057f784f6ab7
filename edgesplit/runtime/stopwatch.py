"""How long a session takes when nothing disturbs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import onnxruntime as ort

from edgesplit.dataflow.assembly import Array
from edgesplit.dataflow.table import Port

_AGREEING = 1.03
_TRIES = 5
_RUNS = 7

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on measuring.

    At least `least` runs, until they have taken `seconds` and the two fastest agree, which is what
    nothing disturbed; and no longer than `longest` seconds or `most` runs.
    """

    least: int
    seconds: float
    longest: float
    most: int

    def ends(self, times: Sequence[float]) -> bool:
        """Tell whether that was enough."""
        spent = sum(times)
        if len(times) < self.least:
            return False
        if spent >= self.longest or len(times) >= self.most:
            return True
        first, second = sorted(times)[:2]
        return spent >= self.seconds and second <= first * _AGREEING


def fastest(session: ort.InferenceSession, feeds: Mapping[str, Array], patience: Patience) -> float:
    """Return the seconds of the fastest run, after one that warms up: noise only ever adds."""
    session.run(None, dict(feeds))
    times: list[float] = []
    while not patience.ends(times):
        start = perf_counter()
        session.run(None, dict(feeds))
        times.append(perf_counter() - start)
    return min(times)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A session that always does the same, by which others are measured.

    Machines change their speed for minutes: clocks go up and down, and neighbours on the same
    processor come and go. What is measured beside a yardstick doesn't change with them.
    """

    session: ort.InferenceSession
    feeds: Mapping[str, Array]

    def seconds(self) -> float:
        """Return the seconds of its fastest run, of a few."""
        return fastest(self.session, self.feeds, Patience(_RUNS, 0.0, 0.0, _RUNS))

    def lengths(
        self, session: ort.InferenceSession, feeds: Mapping[str, Array], patience: Patience
    ) -> float:
        """Return how many times as long as the yardstick a session takes.

        The machine must be as fast afterwards as before, or else it is measured again: of a few
        tries the one with the least change counts.
        """
        tries: list[tuple[float, float]] = []
        while not tries or (tries[-1][0] > _AGREEING and len(tries) < _TRIES):
            before = self.seconds()
            taken = fastest(session, feeds, patience)
            after = self.seconds()
            change = max(before, after) / min(before, after)
            tries.append((change, taken / ((before + after) / 2)))
        return min(tries)[1]


def ports(session: ort.InferenceSession) -> Iterator[Port]:
    """Yield what a session takes."""
    for one in session.get_inputs():
        dtype = _DTYPES.get(one.type) or one.type.removeprefix("tensor(").removesuffix(")")
        yield Port(one.name, tuple(one.shape), np.dtype(dtype).name)
