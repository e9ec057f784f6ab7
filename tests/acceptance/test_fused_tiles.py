"""Fused tiles on one device: less memory, since the tiles have their weights in common."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from comparing import assert_right
from executor_nest import Nest, loopback

from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.search.layouts import proportional
from edgesplit.shards.oracle import Oracle
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.zoo import catalogue

MIB = 1 << 20


@pytest.fixture(scope="module")
def nest() -> Iterator[Nest]:
    with Nest() as found:
        yield found


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    cache = tmp_path_factory.mktemp("yolo")
    return import_model(catalogue.build("yolov2-16", {"input": 288}, cache), cache)


def peak(nest: Nest, graph: Graph, parts: int, folder: Path) -> int:
    """Return the most memory of its own that a device had for a grid of tiles, answers checked."""
    layers = tuple(layer.name for layer in graph.layers)
    cuts = [proportional(extent, [1] * parts) or () for extent in graph.outputs[0].shape[2:]]
    tiles = tuple(Share("d0", tile=tile) for tile in product(*cuts))
    stage = Stage("stack", layers, "spatial", tiles)
    spec = ModelSpec(Source(), parity=0)
    allocation = Allocation(loopback(1), spec, graph.digest, (stage,))
    inputs = random_inputs(graph.inputs, 3)
    with nest.deployed(graph, allocation, folder) as gateway:
        answer = gateway.infer(inputs)
        found = gateway.beats()["d0"].anon_peak
    assert_right(Oracle(graph, threads=1), inputs, answer.outputs)
    return found


def test_tiles_take_less_memory_than_the_whole(nest: Nest, yolo: Graph, tmp_path: Path) -> None:
    # Nine copies of the convolutions' weights would be 117 MiB.
    assert sum(layer.weight_bytes for layer in yolo.layers) > 13 * MIB
    whole, tiles = (peak(nest, yolo, parts, tmp_path) for parts in (1, 3))
    assert tiles < whole
