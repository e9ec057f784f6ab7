"""A gateway whose requests take turns between two replicas, each coded over three devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgesplit.operate.beats import State
from edgesplit.operate.critical import critical_path, index_traces
from edgesplit.operate.load import difference
from edgesplit.operate.requests import Answer

Lab = Any
MakeLab = Callable[..., Lab]
WAYS = ("", "2")
FOREVER = 300.0


def assert_right(lab: Lab, answers: list[Answer]) -> None:
    for seed, answer in enumerate(answers):
        assert difference(answer.outputs["y"], lab.oracle(lab.feeds(seed))["y"]) < 1e-5


def test_requests_take_turns_and_paths_are_explained(lab: MakeLab) -> None:
    cluster = lab(ways=WAYS)
    with cluster.join() as gateway:
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(8)]
        gateway.wait_told(10)
        traces = index_traces(gateway.drain_traces())
    assert_right(cluster, answers)
    assert {answer.passage.variant for answer in answers} == {0, 1}
    paths = [critical_path(gateway.table, traces, answer.passage) for answer in answers]
    assert all(path is not None for path in paths)


def test_a_replica_with_a_lost_coded_device_still_has_its_turn(lab: MakeLab) -> None:
    cluster = lab(ways=WAYS)
    with cluster.join() as gateway:
        cluster.kill("left")
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(8)]
    assert_right(cluster, answers)
    assert {answer.passage.variant for answer in answers} == {0, 1}


@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_what_is_under_way_in_a_lost_replica_moves_to_the_other(lab: MakeLab, harm: str) -> None:
    # The first variant would compute for minutes; with a single try, only a move can answer.
    cluster = lab(ways=WAYS, pace=dict.fromkeys((1, 2, 3), FOREVER))
    with cluster.join(attempts=1) as gateway:
        futures = [gateway.submit(cluster.feeds(seed), deadline=FOREVER) for seed in range(4)]
        for device in ("left", "right"):
            getattr(cluster, harm)(device)
        answers = [future.result() for future in futures]
    assert_right(cluster, answers)
    assert {answer.passage.variant for answer in answers} == {1}
    assert [answer.attempts for answer in answers].count(2) >= 1


def test_a_replica_that_is_back_has_its_turn_again(lab: MakeLab) -> None:
    cluster = lab(ways=WAYS)
    with cluster.join() as gateway:
        for device in ("left", "right"):
            cluster.kill(device)
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(3)]
        for device in ("left", "right"):
            cluster.restore(device)
        assert not gateway.wait_ready(frozenset(gateway.table.devices), 30)
        assert set(gateway.states().values()) == {State.READY}
        later = [gateway.infer(cluster.feeds(seed)) for seed in range(4)]
    assert_right(cluster, answers)
    assert_right(cluster, later)
    assert answers[-1].passage.variant == 1
    assert {answer.passage.variant for answer in later} == {0, 1}


def test_a_cluster_with_one_replica_ready_is_joined(lab: MakeLab) -> None:
    cluster = lab(ways=WAYS)
    for device in ("left", "right"):
        cluster.kill(device)
    with cluster.join(grace=0.5) as gateway:
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(4)]
    assert_right(cluster, answers)
    assert {answer.passage.variant for answer in answers} == {1}
