"""Gateways that come, go, die and meet: every answer belongs to its own request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from deployments import (
    COVERED,
    PATIENCE,
    STARTER,
    STARTER_DEVICES,
    Deployment,
    deployed,
    local_cluster,
    processes_of,
)

import edgesplit
from edgesplit.errors import RequestLost, WindowFull
from edgesplit.operate.gateway import Gateway
from edgesplit.operate.load import difference
from edgesplit.operate.requests import Answer

WINDOW = 8

# Sends the inputs of seeds from a first one on, a few at a time; an answer a line.
_STREAM = """
import json, sys
from collections import deque
import numpy as np
import edgesplit

def feeds(seed):
    return np.random.default_rng(seed).random((1, 1, 32, 32), np.float32)

path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with edgesplit.connect(path, wait=60) as gateway:
    open = deque()
    for seed in range(first, first + count):
        open.append((seed, gateway.submit(feeds(seed), wait=60)))
        if len(open) == 4:
            seed, future = open.popleft()
            print(json.dumps([seed, future.result().output.tolist()]), flush=True)
    for seed, future in open:
        print(json.dumps([seed, future.result().output.tolist()]), flush=True)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("gateways")
    with deployed(folder, local_cluster(folder, STARTER_DEVICES), STARTER) as made:
        yield made
    assert not processes_of(folder)


@contextmanager
def stream(cluster: Deployment, first: int, count: int) -> Iterator[subprocess.Popen[str]]:
    """A gateway in a process of its own, which answers to nobody but us."""
    command = [sys.executable, "-c", _STREAM, str(cluster.path), str(first), str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_answers(cluster: Deployment, lines: list[str]) -> set[int]:
    """Every line is the whole model's answer to its own seed; return the seeds."""
    answers = dict(json.loads(line) for line in lines)
    assert len(answers) == len(lines)
    (name,) = (port.name for port in cluster.planned.graph.outputs)
    for seed, output in answers.items():
        assert cluster.right(seed, {name: np.array(output, np.float32)})
    return set(answers)


def all_right(cluster: Deployment, gateway: Gateway, seeds: range) -> bool:
    futures = [gateway.submit(cluster.feeds(seed), wait=PATIENCE) for seed in seeds]
    answers = [future.result() for future in futures]
    return all(cluster.right(seed, answer) for seed, answer in zip(seeds, answers, strict=True))


def test_answers_to_different_inputs_differ_by_far_more_than_is_tolerated(
    cluster: Deployment,
) -> None:
    outputs = [next(iter(cluster.expected(seed).values())) for seed in range(0, 4000, 100)]
    least = min(
        difference(one, other)
        for index, one in enumerate(outputs)
        for other in outputs[index + 1 :]
    )
    assert least > 10 * cluster.tolerance


def test_a_second_infer_straight_after_a_first_gets_its_own_answer(
    cluster: Deployment, tmp_path: Path
) -> None:
    (name,) = (port.name for port in cluster.planned.graph.outputs)
    for seed in (1, 2):
        np.save(tmp_path / "x.npy", cluster.feeds(seed)[cluster.planned.graph.inputs[0].name])
        command = [sys.executable, "-m", "edgesplit", "infer", str(cluster.path)]
        files = ["--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npz")]
        subprocess.run([*command, *files], check=True, capture_output=True)
        with np.load(tmp_path / "y.npz") as saved:
            assert cluster.right(seed, {name: saved[name]})
    for seed in range(3, 8):
        with edgesplit.connect(cluster.path, wait=PATIENCE) as gateway:
            assert cluster.right(seed, gateway.infer(cluster.feeds(seed)))


def test_a_gateway_killed_in_mid_stream_leaves_nothing_to_the_next(cluster: Deployment) -> None:
    with cluster.connect() as beside, ThreadPoolExecutor(1) as pool:
        steady = pool.submit(all_right, cluster, beside, range(100))
        for turn in (1, 2):
            with stream(cluster, 1000 * turn, 10_000) as process:
                assert process.stdout is not None
                lines = [process.stdout.readline() for _ in range(20)]
                process.kill()
            assert_answers(cluster, lines)
        with stream(cluster, 50_000, 60) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert assert_answers(cluster, out.splitlines()) == set(range(50_000, 50_060))
        assert steady.result()


def test_two_gateways_at_once_get_their_own_answers(cluster: Deployment) -> None:
    with (
        stream(cluster, 10_000, 100) as other,
        cluster.connect() as one,
        cluster.connect() as two,
        ThreadPoolExecutor(2) as pool,
    ):
        assert all(
            pool.map(
                lambda g, s: all_right(cluster, g, s), (one, two), (range(100), range(500, 600))
            )
        )
        out, _ = other.communicate(timeout=PATIENCE)
    assert assert_answers(cluster, out.splitlines()) == set(range(10_000, 10_100))


@pytest.mark.parametrize("where", [slice(None), slice(0, 1)])
def test_nan_in_is_what_the_whole_model_makes_of_it(cluster: Deployment, where: slice) -> None:
    feeds = cluster.feeds(1)
    for array in feeds.values():
        array.reshape(-1)[where] = np.nan
    wanted = cluster.trial.oracle.run(feeds)
    with cluster.connect() as gateway:
        given = gateway.infer(feeds).outputs
        assert all(difference(given[name], wanted[name]) <= cluster.tolerance for name in wanted)
        assert cluster.right(2, gateway.infer(cluster.feeds(2)))


def test_a_full_window_refuses_at_once_and_every_place_comes_free_again(
    cluster: Deployment,
) -> None:
    with cluster.connect() as gateway:
        with cluster.harmed("pi1") as fleet:
            fleet.pause("pi1")
            stuck = [gateway.submit(cluster.feeds(seed)) for seed in range(WINDOW)]
            with pytest.raises(WindowFull, match=f"all {WINDOW} places"):
                gateway.submit(cluster.feeds(99))
        assert all(cluster.right(seed, f.result()) for seed, f in enumerate(stuck))
        assert all_right(cluster, gateway, range(20, 20 + 2 * WINDOW))


def test_a_device_killed_and_restored_between_requests_is_not_missed(cluster: Deployment) -> None:
    with cluster.connect() as gateway, cluster.harmed(*COVERED) as fleet:
        for device in COVERED:
            fleet.kill(device)
            assert all_right(cluster, gateway, range(5))
            fleet.restore(device)
            assert not gateway.wait_ready(frozenset({device}), PATIENCE)
            assert all_right(cluster, gateway, range(5, 10))


def test_two_lost_devices_of_a_group_are_named_and_forgiven_once_restored(
    cluster: Deployment,
) -> None:
    with cluster.connect() as gateway:
        with cluster.harmed("pi2", "pi3") as fleet:
            fleet.kill("pi2")
            fleet.kill("pi3")
            with pytest.raises(RequestLost) as caught:
                gateway.infer(cluster.feeds(0), deadline=2)
            assert caught.value.where == "pi2, pi3"
        assert not gateway.wait_ready(frozenset(STARTER_DEVICES), PATIENCE)
        assert all_right(cluster, gateway, range(20))


def test_a_crash_in_mid_stream_is_mended_by_the_supervisor_alone(cluster: Deployment) -> None:
    device = "pi4"
    before = cluster.states()[device]
    assert before.pid is not None
    with cluster.connect() as gateway:
        answers: dict[int, Future[Answer]] = {}
        for seed in range(30):
            answers[seed] = gateway.submit(cluster.feeds(seed), wait=PATIENCE)
        os.kill(before.pid, signal.SIGKILL)
        for seed in range(30, 120):
            answers[seed] = gateway.submit(cluster.feeds(seed), wait=PATIENCE)
        assert all(cluster.right(seed, future.result()) for seed, future in answers.items())
        assert not gateway.wait_ready(frozenset({device}), PATIENCE)
        assert all_right(cluster, gateway, range(200, 220))
    after = cluster.states()[device]
    assert (after.running, after.restarts) == (True, before.restarts + 1)
    assert after.last_exit == -signal.SIGKILL
