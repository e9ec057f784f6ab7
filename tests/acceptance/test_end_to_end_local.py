"""Plan, launch, bench, fail-node and down on processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deployments import (
    COVERED,
    STARTER,
    STARTER_DEVICES,
    Deployment,
    deployed,
    local_cluster,
    processes_of,
)
from journeys import bench_beside_one_device, deploy_again, go_down, lose_nothing

from edgesplit.operate.drill import Fault

# Full width needs 144 MiB of weights for fc6 where devices have 160 MiB; half of it 36 MiB. The
# planner splits the layer by itself in either case.
ALEXNET = {"source": {"zoo": "alexnet", "width": 0.5}, "parity": 1, "deadline": "20 s"}
ALEXNET_MEMORY = "54 MiB"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module")
def lenet(folder: Path) -> Iterator[Deployment]:
    cluster = local_cluster(folder / "lenet", STARTER_DEVICES)
    with deployed(folder / "lenet", cluster, STARTER) as made:
        yield made
    assert not processes_of(folder / "lenet")


@pytest.fixture(scope="module")
def alexnet(folder: Path) -> Iterator[Deployment]:
    cluster = local_cluster(folder / "alexnet", STARTER_DEVICES, ALEXNET_MEMORY)
    with deployed(folder / "alexnet", cluster, ALEXNET) as made:
        yield made
    assert not processes_of(folder / "alexnet")


def test_bench_shows_the_single_device_beside(lenet: Deployment) -> None:
    found = bench_beside_one_device(lenet)
    assert [run.name for run in found.runs] == ["edgesplit", "one device"]
    assert found.gain("edgesplit", over="one device").latency > 0


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.PAUSE])
def test_a_lost_device_of_the_parity_group_loses_nothing(lenet: Deployment, fault: Fault) -> None:
    lose_nothing(lenet, COVERED[1], fault)


def test_a_lost_parity_device_loses_nothing(lenet: Deployment) -> None:
    lose_nothing(lenet, COVERED[-1], Fault.KILL)


def test_a_second_deploy_moves_and_restarts_nothing(lenet: Deployment) -> None:
    deploy_again(lenet)


def test_down_leaves_no_process(lenet: Deployment, folder: Path) -> None:
    go_down(lenet, folder / "lenet")


def test_alexnet_over_six_small_devices_loses_nothing_with_any_of_three(
    alexnet: Deployment,
) -> None:
    allocation = alexnet.planned.allocation
    (split,) = [stage for stage in allocation.stages if "fc6" in stage.layers]
    assert (split.split, len(split.shares), len(split.parity)) == ("output", 2, 1)
    group = (*(share.device for share in split.shares), *split.parity)
    assert allocation.prediction is not None
    assert set(group) <= set(allocation.prediction.survives)
    for device in group:
        lose_nothing(alexnet, device, Fault.KILL)
