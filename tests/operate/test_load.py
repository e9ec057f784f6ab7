from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgesplit.dataflow.table import Port
from edgesplit.errors import UsageError
from edgesplit.operate.load import (
    Outcome,
    Pattern,
    Sample,
    Workload,
    difference,
    random_inputs,
    run,
    tally,
)

Lab = Any
MakeLab = Callable[..., Lab]


def work(lab: Lab, *, scale: float = 1.0) -> Workload:
    inputs = tuple(lab.feeds(seed) for seed in range(5))
    expected = tuple({"y": lab.oracle(feeds)["y"] * np.float32(scale)} for feeds in inputs)
    return Workload(inputs, expected, tolerance=1e-5)


@pytest.mark.parametrize("pattern", [Pattern(in_flight=3, warm_up=5), Pattern(rate=200, warm_up=5)])
def test_every_request_has_one_right_answer(steady_lab: Lab, pattern: Pattern) -> None:
    with steady_lab.join() as gateway:
        samples = run(gateway, work(steady_lab), pattern, requests=60)
    counts = tally(samples)
    assert (counts.sent, counts.answered, counts.clean) == (60, 60, True)
    assert [sample.index for sample in samples] == list(range(5, 65))
    assert all(s.intended <= s.sent <= s.done for s in samples)


def test_open_loop_requests_are_due_at_the_rate(steady_lab: Lab) -> None:
    with steady_lab.join() as gateway:
        samples = run(gateway, work(steady_lab), Pattern(rate=100), requests=20)
    assert [sample.intended for sample in samples] == [index / 100 for index in range(20)]


def test_wrong_answers_are_found(steady_lab: Lab) -> None:
    with steady_lab.join() as gateway:
        samples = run(gateway, work(steady_lab, scale=1.01), Pattern(), requests=5)
    assert tally(samples).wrong == 5
    assert not tally(samples).clean


def test_a_stalled_cluster_shows_in_the_requests_that_it_kept_waiting(lab: MakeLab) -> None:
    cluster = lab(tail="last", window=2)
    seen: list[Sample] = []

    def stall(sample: Sample) -> None:
        seen.append(sample)
        if len(seen) == 20:
            cluster.pause("last")

    def enough() -> bool:
        return False

    with cluster.join() as gateway:
        pattern = Pattern(rate=50, deadline=1.0)
        samples = run(gateway, work(cluster), pattern, requests=60, until=enough, on_sample=stall)
        cluster.restore("last")
    lost = [sample for sample in samples if sample.outcome is Outcome.LOST]
    # All that were due while nothing answered are lost, though the window let only two be sent.
    assert {sample.index for sample in lost} == set(range(len(samples) - len(lost), 60))
    assert len(lost) >= 35
    assert all(sample.done - sample.intended >= 0.99 for sample in lost)


def test_the_delay_of_what_could_not_be_sent_counts_from_when_it_was_due(lab: MakeLab) -> None:
    # 20 ms of compute a request at 100 requests a second: the n-th waits n times 10 ms.
    cluster = lab(tail="last", window=1, pace={4: 0.02})
    with cluster.join() as gateway:
        samples = run(gateway, work(cluster), Pattern(rate=100), requests=40)
    assert all(s.latency >= (s.index + 1) * 0.02 - s.intended for s in samples)
    assert samples[-1].latency > 0.4
    assert max(s.done - s.sent for s in samples) < samples[-1].latency


@pytest.mark.parametrize(
    ("given", "wanted", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([np.nan, 2.0], [np.nan, 2.0], 0.0),
        ([np.nan, 2.0], [1.0, 2.0], np.inf),
        ([np.inf, 2.0], [np.inf, 2.0], 0.0),
        ([1.0, 2.0], [np.inf, 2.0], np.inf),
        ([0.0], [0.0], 0.0),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_difference_is_relative_to_the_largest(
    given: list[float], wanted: list[float], error: float
) -> None:
    assert difference(np.array(given), np.array(wanted)) == error


def test_random_inputs_are_seeded_and_of_the_models_types() -> None:
    ports = (Port("image", (2, 3), "uint8"), Port("x", (4,), "float32"))
    one, other = (random_inputs(ports, 2, seed=5) for _ in range(2))
    assert all(np.array_equal(a[n], b[n]) for a, b in zip(one, other, strict=True) for n in a)
    assert {name: array.dtype.name for name, array in one[0].items()} == {
        "image": "uint8",
        "x": "float32",
    }
    assert not np.array_equal(one[0]["x"], one[1]["x"])


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": float("nan")}, {"in_flight": 0}])
def test_a_load_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Pattern(**wrong)  # type: ignore[arg-type]


def test_a_request_answered_twice_is_a_duplicate() -> None:
    sample = Sample(3, 0.0, 0.0, 1.0, Outcome.OK)
    counts = tally((sample, sample))
    assert (counts.sent, counts.duplicated, counts.clean) == (1, 1, False)
