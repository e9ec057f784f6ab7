"""What the search plans answers like the whole model: skips, separable convolutions, odd maps."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparing import compare
from plans import cluster, device, spec

from edgesplit.cost import profiles
from edgesplit.cost.profiles import Profile
from edgesplit.graph.importer import import_model
from edgesplit.plan.search import search
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
