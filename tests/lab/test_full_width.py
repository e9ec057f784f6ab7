"""Models at their full width under every split, answered by the hosts of a lab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from comparing import assert_right
from deployments import PATIENCE, planned_files
from lab_bed import lab
from lab_site import lab_cluster
from zoo_splits import KINDS, stages

from edgesplit.graph.samples import random_inputs
from edgesplit.lab.bed import Lab
from edgesplit.operate.gateway import connect
from edgesplit.operate.launch import launch
from edgesplit.operate.prepare import store_folder
from edgesplit.plan.check import check
from edgesplit.plan.file import write_allocation
from edgesplit.shards.oracle import Oracle
from edgesplit.shards.store import Store

pytestmark = pytest.mark.lab

MODELS = ("alexnet", "yolov2-16", "vgg16")
HOSTS = 12
STAGES = 6
"""How many layers, or rows of them, are split at most; the others are whole on one host each."""

DEADLINE = "600 s"
"""Ten terms of a sum of 24 MB each are 20 s on a link of 94.1 Mbit/s, stage after stage."""

EVERY = list(product(MODELS, (*KINDS, "mixed")))
CASES = [(*case, 2 + index * 7 % (HOSTS - 1)) for index, case in enumerate(EVERY)]
if int(os.environ.get("EDGESPLIT_EXAMPLES", "1")) == 1:
    CASES = [CASES[3], CASES[len(KINDS) + 5], CASES[-3]]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("full")
    with lab(folder, HOSTS) as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESPLIT_CACHE", str(folder / "cache"))
        patch.setenv("EDGESPLIT_HOME", str(folder / "home"))
        yield made


@pytest.mark.parametrize(("name", "split", "count"), CASES)
def test_hosts_answer_like_the_whole_model(
    bed: Lab, name: str, split: str, count: int, tmp_path: Path
) -> None:
    model = {"source": f"zoo:{name}", "parity": int(split == "coded"), "deadline": DEADLINE}
    path, planned = planned_files(tmp_path, lab_cluster(bed), model)
    graph, hosts = planned.graph, [host.name for host in bed.hosts[:count]]
    allocation = replace(planned.allocation, stages=stages(graph, split, hosts, STAGES))
    check(graph, allocation)
    write_allocation(allocation, path)
    done = launch(path)
    inputs = random_inputs(graph.inputs, 3)
    with connect(path, wait=PATIENCE) as gateway:
        answer = gateway.infer(inputs)
    oracle = Oracle(graph, done.prepared.built.table, store=Store(store_folder()))
    assert_right(oracle, inputs, answer.outputs, answer.recovered)
