"""The compute thread: oldest first, nothing that is over, and no request's data ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from executor_bed import PATIENCE, relu, whole

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import Output, Task
from edgesplit.errors import RuntimeFault
from edgesplit.runtime.attempt import Attempt, Work
from edgesplit.runtime.compute import Compute, Done
from edgesplit.runtime.session import open_session

BOX = Region.full((1, 4))
TASK = Task(
    1, "relu", "s", "d", (whole("y", "y", (1, 4), 0),), (Output("z", 1, Region((0, 1), (1, 3))),)
)


def work(request: int, opened: float, width: int = 4) -> Work:
    attempt = Attempt(1, request, 0, 0, opened, time.monotonic() + PATIENCE)
    feeds = {"y": np.full((1, width), request, np.float32)}
    return Work(TASK, attempt, feeds, 0, 0, 0.0)


class Bench:
    """A compute thread with one session, and what it has done; one `submit` queues as a whole."""

    def __init__(self, folder: Path) -> None:
        session = open_session(folder / f"{relu(folder, 4)}.onnx", 1, shared=False)
        self.woken = Event()
        self.compute = Compute({1: session}, {}, self.woken.set)
        self.done: list[Done] = []

    def requests(self, count: int) -> list[int]:
        """Return the requests done, in order, once there are so many."""
        end = time.monotonic() + PATIENCE
        while len(self.done) < count:
            assert time.monotonic() < end
            assert self.woken.wait(PATIENCE)
            self.woken.clear()
            self.done += self.compute.take()
        return [done.work.attempt.request for done in self.done]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    assert bench.compute.stop(PATIENCE)


def test_the_oldest_request_runs_first(bench: Bench) -> None:
    bench.compute.submit([work(3, 3.0), work(1, 1.0), work(2, 2.0)])
    assert bench.requests(3) == [1, 2, 3]
    assert bench.compute.tally.queue_max == 3
    (array,) = bench.done[1].arrays
    assert array.tolist() == [[2, 2]]
    assert array.flags.c_contiguous


def test_what_is_over_or_expired_is_not_computed(bench: Bench) -> None:
    closed, expired = work(1, 1.0), work(2, 2.0)
    closed.attempt.works[1] = closed
    expired.attempt.deadline = time.monotonic()
    closed.attempt.end()
    bench.compute.submit([closed, expired, work(3, 3.0)])
    assert bench.requests(1) == [3]
    assert bench.compute.tally.discarded == 2
    assert closed.feeds is None


def test_bad_data_of_one_request_leaves_the_next_alone(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.compute.submit([work(1, 1.0, width=3), work(2, 2.0)])
    assert bench.requests(1) == [2]
    assert bench.compute.tally.failed == 1
    (record,) = [record for record in caplog.records if record.name.startswith("edgesplit")]
    assert "task relu, request 1" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_not_taken_for_an_idle_one(bench: Bench) -> None:
    odd = work(1, 1.0)
    odd.feeds = 7  # type: ignore[assignment]  # what no code of ours would do
    bench.compute.submit([odd])
    with pytest.raises(RuntimeFault, match="compute thread ended"):
        bench.requests(1)
