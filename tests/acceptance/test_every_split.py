"""Every model, every number of devices, every single loss: equal to the whole model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from edgesplit.graph.following import CHANNELS
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph, Layer
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.lower import lower
from edgesplit.shards.builder import build
from edgesplit.shards.verify import Verification, verify
from edgesplit.spec.cluster import Cluster, Device, Link
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.zoo.catalogue import build as build_model

LINK = Link(bandwidth=1e9, latency=1e-4)
MODELS: dict[str, dict[str, float | int | str]] = {
    "lenet5": {},
    "alexnet": {"width": 0.1, "input": 67, "classes": 10, "seed": 1},
    "vgg16": {"width": 0.1, "input": 32, "classes": 10, "seed": 2},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def device(name: str) -> Device:
    return Device(
        name=name,
        connection="local",
        host="127.0.0.1",
        address="127.0.0.1",
        port=1,
        profile="generic",
        memory=1 << 30,
        cores=1,
        link=LINK,
    )


def blocks(extent: int, count: int) -> list[tuple[int, int]]:
    """Cut unequally: the first device gets twice what each other gets."""
    weights = [2, *[1] * (count - 1)]
    ends = [0]
    for index in range(count):
        ends.append(max(ends[-1] + 1, round(extent * sum(weights[: index + 1]) / sum(weights))))
    ends[-1] = extent
    return list(pairwise(ends))


def split_stage(graph: Graph, layer: Layer, devices: int, parity: int) -> Stage:
    assert layer.heavy is not None
    extent = graph.values[layer.heavy.outputs[0]].shape[CHANNELS]
    shares = tuple(
        Share(f"d{index}", lo, hi) for index, (lo, hi) in enumerate(blocks(extent, devices))
    )
    names = tuple(f"d{devices + row}" for row in range(parity))
    return Stage(layer.name, (layer.name,), "output", shares, names)


def splittable(graph: Graph, layer: Layer, devices: int) -> bool:
    assert layer.heavy is not None
    return graph.values[layer.heavy.outputs[0]].shape[CHANNELS] > devices + 1


def stages(graph: Graph, devices: int, parity: int) -> tuple[Stage, ...]:
    return tuple(
        split_stage(graph, layer, devices, parity)
        if splittable(graph, layer, devices)
        else Stage(layer.name, (layer.name,), "whole", (Share("d0", 0, 0),))
        for layer in graph.layers
    )


def verified(model: str, devices: int, parity: int, cache: Path) -> Verification:
    graph = import_model(build_model(model, MODELS[model], cache), cache, model)
    cluster = Cluster("test", tuple(device(f"d{n}") for n in range(devices + parity)), LINK)
    allocation = Allocation(
        cluster, ModelSpec(Source(zoo=model)), graph.digest, stages(graph, devices, parity)
    )
    built = build(graph, lower(graph, allocation), cache / "shards")
    return verify(graph, built.table, cache / "shards", threads=1)


@pytest.mark.parametrize("devices", range(2, 8))
@pytest.mark.parametrize("model", MODELS)
def test_without_parity(model: str, devices: int, cache: Path) -> None:
    found = verified(model, devices, 0, cache)
    assert len(found.patterns) == 1
    assert found.worst.passed


@pytest.mark.parametrize("devices", range(2, 8))
@pytest.mark.parametrize("model", MODELS)
def test_with_parity_and_every_single_loss(model: str, devices: int, cache: Path) -> None:
    found = verified(model, devices, 1, cache)
    losses = [pattern for pattern in found.patterns if pattern.recovered]
    assert len(losses) > devices
    assert all(pattern.passed for pattern in found.patterns)


def test_two_losses_are_survived_with_two_parity_rows(cache: Path) -> None:
    found = verified("lenet5", 4, 2, cache)
    assert all(pattern.passed for pattern in found.patterns)
