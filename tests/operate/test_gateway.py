from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesplit.deploy.record import save_record
from edgesplit.errors import (
    HostError,
    InputMismatch,
    RequestError,
    RequestLost,
    UsageError,
    WindowFull,
)
from edgesplit.operate.beats import State
from edgesplit.operate.critical import critical_path, index_traces
from edgesplit.operate.gateway import Gateway
from edgesplit.operate.load import difference
from edgesplit.operate.requests import Answer
from edgesplit.operate.status import status

Lab = Any
MakeLab = Callable[..., Lab]


def wrong(lab: Lab, answer: Answer, seed: int) -> float:
    return difference(answer.outputs["y"], lab.oracle(lab.feeds(seed))["y"])


def test_answers_equal_the_whole_model(steady_lab: Lab) -> None:
    cluster = steady_lab
    with cluster.join() as gateway:
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(40)]
    assert max(wrong(cluster, answer, seed) for seed, answer in enumerate(answers)) < 1e-5
    assert {answer.attempts for answer in answers} == {1}
    assert answers[0].output.shape == (1, 6)


def test_a_tail_on_a_device_answers_without_a_head(lab: MakeLab) -> None:
    cluster = lab(tail="last")
    with cluster.join() as gateway:
        answers = [gateway.infer(cluster.feeds(seed)["x"]) for seed in range(10)]
        gateway.wait_told(10)
        traces = index_traces(gateway.drain_traces())
    assert max(wrong(cluster, answer, seed) for seed, answer in enumerate(answers)) < 1e-5
    paths = [critical_path(gateway.table, traces, answer.passage) for answer in answers]
    found = [path for path in paths if path is not None]
    assert [path.tasks[-1] for path in found] == [4] * 10
    # On a busy machine a single hop may be shorter than what else is counted; ten are not.
    assert sum(path.wire for path in found) > 0


def test_an_input_that_is_not_contiguous_or_reused_or_nan_just_works(steady_lab: Lab) -> None:
    cluster = steady_lab
    x = cluster.feeds(0)["x"]
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    assert not strided.flags.c_contiguous
    with cluster.join() as gateway:
        assert wrong(cluster, gateway.infer(strided), 0) < 1e-5
        reused = x.copy()
        future = gateway.submit(reused)
        reused[:] = 0
        assert wrong(cluster, future.result(), 0) < 1e-5
        nan = gateway.infer(np.full_like(x, np.nan))
    assert nan.output.shape == (1, 6)
    assert nan.attempts == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"z": np.zeros((1, 12), np.float32)}, "z given, x missing"),
        ({"x": np.zeros((1, 13), np.float32)}, r"shape \(1, 13\)"),
        ({"x": np.zeros((1, 12), np.float64)}, "float64"),
        (np.zeros(12, np.float32), "shape"),
    ],
)
def test_a_wrong_input_is_refused_and_nothing_is_sent(
    steady_lab: Lab, given: object, told: str
) -> None:
    cluster = steady_lab
    with cluster.join() as gateway:
        with pytest.raises(InputMismatch, match=told):
            gateway.infer(given)
        assert gateway.infer(cluster.feeds(1)).passage.request == 0


def test_a_full_window_is_refused_at_once_and_a_place_is_waited_for(lab: MakeLab) -> None:
    cluster = lab(window=2, pace={1: 0.1, 2: 0.1, 3: 0.1})
    with cluster.join() as gateway:
        first = [gateway.submit(cluster.feeds(seed)) for seed in range(2)]
        with pytest.raises(WindowFull):
            gateway.submit(cluster.feeds(2))
        assert wrong(cluster, gateway.infer(cluster.feeds(2)), 2) < 1e-5
        assert all(wrong(cluster, f.result(), seed) < 1e-5 for seed, f in enumerate(first))


def test_many_threads_share_a_gateway(steady_lab: Lab) -> None:
    cluster = steady_lab
    with cluster.join() as gateway, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: gateway.infer(cluster.feeds(seed)), range(60)))
    assert max(wrong(cluster, answer, seed) for seed, answer in enumerate(answers)) < 1e-5


def test_two_gateways_at_once_get_their_own_answers(steady_lab: Lab) -> None:
    cluster = steady_lab
    with cluster.join() as one, cluster.join() as other, ThreadPoolExecutor(2) as pool:

        def ask(gateway: Gateway, first: int) -> float:
            seeds = range(first, first + 40)
            return max(wrong(cluster, gateway.infer(cluster.feeds(s)), s) for s in seeds)

        assert max(pool.map(ask, (one, other), (0, 1000))) < 1e-5


def test_a_gateway_that_ends_in_mid_stream_leaves_nothing_to_its_successor(lab: MakeLab) -> None:
    cluster = lab(pace={1: 0.05, 2: 0.05, 3: 0.05})
    gateway = cluster.join()
    futures = [gateway.submit(cluster.feeds(100 + seed)) for seed in range(4)]
    gateway.close()
    assert all(future.done() for future in futures)
    assert all(isinstance(f.exception(), RequestError) for f in futures[1:])
    with pytest.raises(UsageError, match="closed"):
        gateway.submit(cluster.feeds(0))
    with cluster.join() as successor:
        answers = [successor.infer(cluster.feeds(seed)) for seed in range(8)]
    assert max(wrong(cluster, answer, seed) for seed, answer in enumerate(answers)) < 1e-5


_STREAM = """
import sys
from pathlib import Path
import numpy as np
from edgesplit.deploy.record import load_record
from edgesplit.operate.gateway import join
gateway = join(load_record(Path(sys.argv[1])), Path(sys.argv[2]).read_bytes(), wait=30.0)
x = np.full((1, 12), 1e6, np.float32)
while True:
    futures = [gateway.submit(x) for _ in range(4)]
    print(futures[0].result().passage.request, flush=True)
    [future.result() for future in futures]
"""


def test_a_gateway_killed_in_mid_stream_leaves_nothing_to_its_successor(
    steady_lab: Lab, tmp_path: Path
) -> None:
    save_record(steady_lab.record, tmp_path / "record.json")
    (tmp_path / "key").write_bytes(steady_lab.secret)
    command = [sys.executable, "-c", _STREAM, f"{tmp_path}/record.json", f"{tmp_path}/key"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert [victim.stdout.readline() for _ in range(3)] == [b"0\n", b"4\n", b"8\n"]
        victim.kill()
    with steady_lab.join() as gateway:
        answers = [gateway.infer(steady_lab.feeds(seed)) for seed in range(20)]
    assert max(wrong(steady_lab, answer, seed) for seed, answer in enumerate(answers)) < 1e-5


def test_a_callback_may_ask_again_and_close(lab: MakeLab) -> None:
    cluster = lab(window=1)
    gateway = cluster.join()
    second: list[Future[Answer]] = []
    over = threading.Event()

    def again(_: Future[Answer]) -> None:
        second.append(gateway.submit(cluster.feeds(1)))
        second[0].add_done_callback(close)

    def close(_: Future[Answer]) -> None:
        gateway.close()
        over.set()

    gateway.submit(cluster.feeds(0)).add_done_callback(again)
    assert over.wait(30)
    gateway.close()
    assert wrong(cluster, second[0].result(), 1) < 1e-5


@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_a_lost_device_is_covered_by_parity_and_comes_back(lab: MakeLab, harm: str) -> None:
    cluster = lab()
    with cluster.join() as gateway:
        getattr(cluster, harm)("left")
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(20)]
        assert max(wrong(cluster, answer, seed) for seed, answer in enumerate(answers)) < 1e-5
        assert {answer.recovered for answer in answers} == {1}
        cluster.restore("left")
        assert not gateway.wait_ready(frozenset({"left"}), 30)
        after = [gateway.infer(cluster.feeds(seed)) for seed in range(20)]
        assert max(wrong(cluster, answer, seed) for seed, answer in enumerate(after)) < 1e-5


def test_an_unprotected_device_loses_requests_by_name_and_a_retry_saves_them(
    lab: MakeLab,
) -> None:
    cluster = lab(tail="last")
    with cluster.join() as gateway:
        cluster.kill("last")
        with pytest.raises(RequestLost, match="silent: last"):
            gateway.infer(cluster.feeds(0), deadline=0.5)
        # It is tried again when the device is back, not when half of its time is over.
        future = gateway.submit(cluster.feeds(1), deadline=3000)
        cluster.restore("last")
        assert wrong(cluster, future.result(timeout=60), 1) < 1e-5


def test_a_stuck_request_does_not_push_others_out_of_the_devices_window(lab: MakeLab) -> None:
    cluster = lab(tail="last", window=2)
    with cluster.join() as gateway:
        cluster.pause("last")
        stuck = gateway.submit(cluster.feeds(0), deadline=60)
        short = [gateway.submit(cluster.feeds(1), deadline=0.05, wait=10) for _ in range(6)]
        assert all(isinstance(future.exception(), RequestLost) for future in short)
        cluster.restore("last")
        assert wrong(cluster, stuck.result(), 0) < 1e-5
        assert wrong(cluster, gateway.infer(cluster.feeds(2)), 2) < 1e-5


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("nan"), float("inf")])
def test_a_deadline_must_be_a_time(steady_lab: Lab, deadline: float) -> None:
    cluster = steady_lab
    with cluster.join() as gateway, pytest.raises(UsageError, match="is no time"):
        gateway.infer(cluster.feeds(0), deadline=deadline)


def test_connecting_needs_only_the_devices_that_answers_need(lab: MakeLab) -> None:
    cluster = lab(tail="last")
    with cluster.join():
        cluster.kill("left")
    with cluster.join(wait=2.0) as gateway:
        assert wrong(cluster, gateway.infer(cluster.feeds(0)), 0) < 1e-5
    cluster.kill("last")
    with pytest.raises(HostError, match="unreachable after 1 s") as failure:
        cluster.join(wait=1.0)
    assert failure.value.where == "last, left"


def test_status_tells_who_is_ready_and_whether_answers_form(lab: MakeLab) -> None:
    cluster = lab(tail="last")
    with cluster.join():
        cluster.kill("left")
    seen = status(cluster.record, cluster.secret, timeout=1.5)
    assert {device.device: device.state for device in seen.devices} == {
        "left": State.UNREACHABLE,
        "right": State.READY,
        "parity": State.READY,
        "last": State.READY,
    }
    assert seen.answers
    assert not seen.whole
    assert all(d.beat is not None for d in seen.devices if d.state is State.READY)
