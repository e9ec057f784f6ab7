"""Figures: what samples and beats say about a run, as numbers with names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesplit.files import replacing
from edgesplit.operate.load import Outcome, Sample


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of latencies in seconds; all NaN where there was no answer."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


def latency(samples: Iterable[Sample]) -> Latency:
    """Return the latencies of the answered samples, from their intended send times."""
    times = np.array([s.latency for s in samples if s.outcome is not Outcome.LOST])
    if not times.size:
        return Latency(0, *(float("nan"),) * 5)
    p50, p90, p99 = (float(p) for p in np.percentile(times, (50, 90, 99)))
    return Latency(times.size, float(times.mean()), p50, p90, p99, float(times.max()))


def save_samples(runs: Mapping[str, Sequence[Sample]], path: Path) -> None:
    """Write raw samples as CSV, times in seconds; a file that was there stays until it is whole."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for name, samples in runs.items():
            writer.writerows(_row(name, sample) for sample in samples)


_COLUMNS = (
    "run",
    "index",
    "intended",
    "sent",
    "done",
    "latency",
    "outcome",
    "recovered",
    "attempts",
    "error",
)


def _row(name: str, sample: Sample) -> tuple[object, ...]:
    return (
        name,
        sample.index,
        sample.intended,
        sample.sent,
        sample.done,
        sample.latency,
        sample.outcome.value,
        sample.recovered,
        sample.attempts,
        "" if sample.error is None else sample.error,
    )
