"""What the search plans answers like the whole model: skips, separable convolutions, odd maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plans import cluster, device, spec

from edgesplit.cost import profiles
from edgesplit.cost.profiles import Profile
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.check import check
from edgesplit.plan.lower import lower
from edgesplit.plan.search import search
from edgesplit.shards.builder import build
from edgesplit.shards.oracle import Oracle, error, random_inputs
from edgesplit.shards.stitched import Stitched
from edgesplit.shards.store import Store
from edgesplit.spec.cluster import Cluster, Link
from edgesplit.zoo import catalogue

NARROW: dict[str, dict[str, float | int]] = {
    "vgg16": {"width": 0.0625, "input": 64, "classes": 10},
    "resnet50": {"width": 0.05, "input": 64, "classes": 10},
    "xception": {"width": 0.02, "input": 71, "classes": 10},
    "c3d": {"width": 0.05, "input": 32, "classes": 10},
}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Devices so slow that splitting a narrow model pays, one of them half as slow."""
    for name, speed in (("slow", 1e5), ("less-slow", 2e5)):
        monkeypatch.setitem(profiles.PROFILES, name, Profile(name, speed, speed, 1e-3, 1e-3))
    kinds = ["slow", "slow", "slow", "less-slow"]
    link = Link(1e7, 1e-4)
    return cluster(*(device(f"d{n}", profile=kind, link=link) for n, kind in enumerate(kinds)))


@pytest.mark.parametrize(
    ("name", "parity"), [("vgg16", 0), ("vgg16", 1), ("resnet50", 1), ("xception", 0), ("c3d", 0)]
)
def test_the_zoo(name: str, parity: int, slow: Cluster, tmp_path: Path) -> None:
    graph = import_model(catalogue.build(name, NARROW[name], tmp_path), tmp_path / "imported")
    allocation = search(graph, slow, spec(parity=parity))
    splits = {stage.split for stage in allocation.stages}
    assert "spatial" in splits
    assert splits & ({"output"} if parity else {"input", "output"})
    compare(graph, allocation, tmp_path / "shards")


def compare(graph: Graph, allocation: Allocation, folder: Path) -> None:
    check(graph, allocation)
    store = Store(folder)
    built = build(graph, lower(graph, allocation), folder)
    oracle = Oracle(graph, store=store, threads=1)
    inputs = random_inputs(graph.inputs, 1)
    wanted = oracle.run(inputs)
    (answer,) = Stitched(built.table, store, threads=1).run(inputs)
    assert answer is not None
    rng = np.random.default_rng(2)
    noisy = {n: x + 1e-6 * rng.standard_normal(x.shape).astype(x.dtype) for n, x in inputs.items()}
    own = error(oracle.run(noisy), wanted)
    assert error(answer.outputs, wanted) <= oracle.tolerance() + 10 * own
