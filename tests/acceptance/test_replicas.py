"""Replicas on processes of this machine: requests take turns, and a dead one loses none."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from deployments import PATIENCE, Deployment, launched, local_cluster, planned_files
from hand_made import split, whole
from journeys import drill

from edgesplit.deploy.keys import gateway_keys
from edgesplit.operate.drill import Fault
from edgesplit.operate.load import Pattern, run, tally
from edgesplit.operate.status import status
from edgesplit.plan.file import write_allocation
from edgesplit.plan.planner import lower_allocation
from edgesplit.zoo.cache import cache_folder

DEVICES = ("pi1", "pi2", "pi3", "pi4", "pi5")
FRONT = ("conv1", "conv2", "fc1", "fc2")
PIPELINE = (whole("pi1", *FRONT), whole("pi2", "fc3"))
# Its last layer is coded, so that its answers take another head, and it shares a device.
CODED = (whole("pi3", *FRONT), split("fc3", ("pi4", 0, 5), ("pi5", 5, 10), parity=("pi2",)))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("replicas")
    model = {"source": "zoo:lenet5", "deadline": "20 s"}
    path, planned = planned_files(folder, local_cluster(folder, DEVICES), model)
    allocation = replace(planned.allocation, stages=PIPELINE, replicas=(CODED,), prediction=None)
    write_allocation(allocation, path)
    with launched(Deployment(path, lower_allocation(allocation, cache_folder()))) as made:
        yield made


def test_requests_take_turns_and_every_answer_is_right(cluster: Deployment) -> None:
    with cluster.connect() as gateway:
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(10)]
    assert {answer.passage.variant for answer in answers} == {0, 1}
    assert all(cluster.right(seed, answer) for seed, answer in enumerate(answers))


def test_under_load_every_replica_has_its_share(cluster: Deployment) -> None:
    work = cluster.trial.random_work(seed=3)
    with cluster.connect() as gateway:
        window = gateway.table.window
        samples = run(gateway, work, Pattern(in_flight=window, deadline=PATIENCE), requests=100)
    assert tally(samples).clean
    variants = Counter(sample.passage.variant for sample in samples if sample.passage)
    assert min(variants[0], variants[1]) >= 20


@pytest.mark.parametrize(
    ("device", "fault"), [("pi1", Fault.KILL), ("pi3", Fault.PAUSE), ("pi2", Fault.KILL)]
)
def test_a_dead_device_of_one_replica_loses_nothing(
    cluster: Deployment, device: str, fault: Fault
) -> None:
    drill(cluster, device, fault)


def test_while_a_replica_is_down_the_other_answers_alone(cluster: Deployment) -> None:
    with cluster.harmed("pi1") as fleet, cluster.connect() as gateway:
        fleet.kill("pi1")
        gateway._board.wait(lambda roster: "pi1" in roster.silent(time.monotonic()), PATIENCE)
        answers = [gateway.infer(cluster.feeds(seed)) for seed in range(4)]
        found = status(cluster.trial.record, gateway_keys().secret)
    assert {answer.passage.variant for answer in answers} == {1}
    assert all(cluster.right(seed, answer) for seed, answer in enumerate(answers))
    assert (found.answers, found.answering, found.variants) == (True, 1, 2)
