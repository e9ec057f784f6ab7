from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesplit.errors import UsageError
from edgesplit.operate.bench import Contestant, compare, measure
from edgesplit.operate.critical import Trace, critical_path, index_traces
from edgesplit.operate.figures import latency, save_samples
from edgesplit.operate.load import Outcome, Pattern, Sample, Workload
from edgesplit.operate.requests import Passage
from edgesplit.plan.allocation import DevicePrediction, Prediction
from edgesplit.report.bench import bench_result

Lab = Any
MakeLab = Callable[..., Lab]


def work(lab: Lab) -> Workload:
    inputs = tuple(lab.feeds(seed) for seed in range(5))
    return Workload(inputs, tuple(lab.oracle(feeds) for feeds in inputs), tolerance=1e-5)


def test_a_paced_device_is_seen_as_the_critical_path(lab: MakeLab) -> None:
    cluster = lab(tail="last", pace={4: 0.03})
    predictions = (DevicePrediction("last", ("relu",), 50_000_000, 0, 0.03, 0.0),)
    prediction = Prediction(0.03, 1 / 0.03, predictions, ("left", "right", "parity"))
    with cluster.join() as gateway:
        contestant = Contestant("cluster", gateway, work(cluster), prediction)
        run = measure(contestant, Pattern(warm_up=3), 30)
    assert (run.counts.sent, run.counts.clean, run.explained) == (30, True, 30)
    path = run.breakdown
    assert path is not None
    assert path.tasks[-1] == 4
    assert path.compute >= 0.03
    parts = path.compute + path.wire + path.waiting + path.overhead
    assert parts == pytest.approx(path.latency)
    figures = {device.device: device for device in run.devices}
    assert figures["last"].busy > 0.5 > figures["left"].busy
    assert figures["last"].memory == 50_000_000
    assert figures["last"].anon_peak > 1_000_000
    assert run.latency_error >= 0


def test_rounds_alternate_and_the_gain_is_a_ratio(lab: MakeLab, steady_lab: Lab) -> None:
    slow = lab(pace={1: 0.02, 2: 0.02, 3: 0.02})
    order: list[str] = []
    with slow.join() as one, steady_lab.join() as other:
        both = (
            Contestant("slow", one, work(slow)),
            Contestant("fast", other, work(steady_lab)),
        )
        result = compare(
            both, Pattern(), requests=21, rounds=3, on_sample=lambda name, _: order.append(name)
        )
    assert order == (["slow"] * 7 + ["fast"] * 7) * 3
    gain = result.gain("fast", over="slow")
    assert gain.latency > 1
    assert gain.throughput > 1
    assert result.gain("slow", over="slow").latency == 1
    assert [len(run.samples) for run in result.runs] == [21, 21]
    assert [(run.counts.sent, run.counts.clean) for run in result.runs] == [(21, True)] * 2


@pytest.mark.parametrize(("limit", "void"), [(0.0, True), (1.0, False)])
def test_a_run_past_its_pace_is_void(lab: MakeLab, limit: float, void: bool) -> None:
    # Two nanoseconds of compute can't be kept: everything is slip.
    cluster = lab(pace={1: 2e-9, 2: 2e-9, 3: 2e-9})
    with cluster.join() as gateway:
        hasty = Contestant("hasty", gateway, work(cluster))
        result = compare((hasty,), Pattern(), requests=10, rounds=1, slip_limit=limit)
    (run,) = result.runs
    assert 0 < run.slip < run.latency.mean
    assert result.void is bool(run.void) is void
    told = bench_result(result)["runs"][0]
    assert (told["slip"], told["slip_limit"], told["void"]) == (run.slip, limit, run.void)
    assert not void or "slipped" in told["void"]


def test_more_rounds_than_requests_are_refused(steady_lab: Lab) -> None:
    with steady_lab.join() as gateway, pytest.raises(UsageError, match="3 requests"):
        compare([Contestant("a", gateway, work(steady_lab))], Pattern(), requests=3, rounds=4)


def test_the_critical_path_follows_what_came_last(steady_lab: Lab) -> None:
    table = steady_lab.record.table
    right = Trace("right", 7, 0, 2, 0, 100.0, 101.0, 103.0, 104.0, 104.5)
    left = Trace("left", 7, 0, 1, 0, 5.0, 5.0, 6.0, 6.0, 6.0)
    passage = Passage(7, 0, last_flow=2, recovered=0, latency=6.0, head=0.25)
    path = critical_path(table, index_traces([left, right]), passage)
    assert path is not None
    assert path.tasks == (2,)
    assert (path.compute, path.waiting, path.overhead, path.wire) == (3.0, 1.0, 0.75, 1.25)
    assert critical_path(table, index_traces([left]), passage) is None
    assert critical_path(table, index_traces([replace(right, attempt=1)]), passage) is None


def test_latencies_leave_out_what_was_lost_and_samples_are_saved_whole(tmp_path: Path) -> None:
    samples = [Sample(i, i * 1.0, i + 0.5, i + 2.0, Outcome.OK) for i in range(4)]
    samples.append(Sample(4, 4.0, 4.0, 99.0, Outcome.LOST))
    figures = latency(samples)
    assert (figures.count, figures.mean, figures.p99, figures.max) == (4, 2.0, 2.0, 2.0)
    target = tmp_path / "samples.csv"
    save_samples({"cluster": samples}, target)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["outcome"] for row in rows] == ["ok"] * 4 + ["lost"]
    assert float(rows[1]["latency"]) == 2.0
    assert list(tmp_path.iterdir()) == [target]
