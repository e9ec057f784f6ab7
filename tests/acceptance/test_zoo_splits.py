"""Every model of the zoo under every split, over 1 to 12 devices, answered by real executors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from comparing import assert_right
from executor_nest import Nest, loopback
from zoo_splits import KINDS, least, split_layers, stages

from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.check import check
from edgesplit.plan.procedure1 import procedure1
from edgesplit.plan.search import search
from edgesplit.shards.oracle import Oracle
from edgesplit.shards.store import Store
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.zoo import catalogue

NARROW: dict[str, dict[str, float | int]] = {
    "lenet5": {},
    "alexnet": {"width": 0.0625, "input": 67, "classes": 10},
    "vgg16": {"width": 0.0625, "input": 32, "classes": 10},
    "resnet50": {"width": 0.05, "input": 64, "classes": 10},
    "xception": {"width": 0.02, "input": 71, "classes": 10},
    "c3d": {"width": 0.05, "input": 32, "classes": 10},
    "yolov2": {"width": 0.02, "input": 96, "classes": 10},
    "yolov2-16": {"width": 0.05, "input": 96},
}
STRATEGIES = {"procedure1": procedure1, "search": search}
SPLITS = (*KINDS, "mixed", *STRATEGIES)
DEVICES = 12
EXAMPLES = int(os.environ.get("EDGESPLIT_EXAMPLES", "1"))
"""Beyond 1, every model and split is tried over as many numbers of devices, in more stages."""
STAGES = 4 if EXAMPLES == 1 else 12


class Case(NamedTuple):
    model: str
    split: str
    devices: int

    def __str__(self) -> str:
        return "-".join(map(str, self))


def counts(index: int) -> Iterable[int]:
    """Return numbers of devices: the larger ones now and then, as long as there is one a case."""
    if EXAMPLES > 1:
        return ((index + other) % DEVICES + 1 for other in range(min(DEVICES, EXAMPLES)))
    return (5 + index // 7 % 8 if index % 7 == 0 else 1 + index % 4,)


CASES = [
    Case(model, split, count)
    for index, (model, split) in enumerate(product(NARROW, SPLITS))
    for count in counts(index)
]


@pytest.fixture(scope="module")
def nest() -> Iterator[Nest]:
    with Nest() as found:
        yield found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


def allocate(graph: Graph, cluster: Cluster, split: str) -> Allocation:
    count = len(cluster.devices)
    spec = ModelSpec(Source(), parity=int(count > 2))
    if split in STRATEGIES:
        return STRATEGIES[split](graph, cluster, spec)
    made = stages(graph, split, [device.name for device in cluster.devices], STAGES)
    assert split in {"pipeline", "mixed"} or count < least(split) or any(split_layers(made))
    return Allocation(cluster, spec, graph.digest, made)


def test_every_number_of_devices_occurs() -> None:
    assert {case.devices for case in CASES} == set(range(1, DEVICES + 1))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_executors_answer_like_the_whole_model(
    case: Case, nest: Nest, cache: Path, tmp_path: Path
) -> None:
    graph = import_model(catalogue.build(case.model, NARROW[case.model], cache), cache / "imported")
    allocation = allocate(graph, loopback(case.devices), case.split)
    check(graph, allocation)
    inputs = random_inputs(graph.inputs, 3)
    with nest.deployed(graph, allocation, tmp_path) as gateway:
        answer = gateway.infer(inputs)
        oracle = Oracle(graph, gateway.table, store=Store(cache / "noise"), threads=1)
    assert_right(oracle, inputs, answer.outputs, answer.recovered)
