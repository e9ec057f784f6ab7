"""Fused tiles save what DeepThings' slides say they save: 58 % in 3 x 3 tiles, 68 % in 5 x 5."""

from __future__ import annotations

from itertools import product

import pytest
from hand_made import allocate, whole
from plans import Sketch

from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.layer_memory import LayerMemory, largest_layer, layer_memory
from edgesplit.plan.lower import lower
from edgesplit.plan.search.layouts import proportional
from edgesplit.zoo import catalogue


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    cache = tmp_path_factory.mktemp("yolo")
    return import_model(catalogue.build("yolov2-16", {}, cache), cache)


def largest(graph: Graph, parts: int) -> LayerMemory:
    layers = tuple(layer.name for layer in graph.layers)
    stage = whole("pi1", *layers)
    if parts > 1:
        cuts = [proportional(extent, [1] * parts) or () for extent in graph.outputs[0].shape[2:]]
        tiles = tuple(Share("pi1", tile=tile) for tile in product(*cuts))
        stage = Stage("stack", layers, "spatial", tiles)
    return largest_layer(graph, lower(graph, allocate(graph, stage)))


def test_maps_and_weights_of_each_layer_are_counted_once() -> None:
    graph = Sketch(1, 4, 8, 8).conv("a", 8, 3, 1, 1).relu("r").pool("p", 2, 2).graph()
    (spec,) = lower(graph, allocate(graph, whole("pi1", "a"))).shards
    image, made, pooled = 4 * 8 * 8, 8 * 8 * 8, 8 * 4 * 4
    assert layer_memory(graph, spec) == (
        LayerMemory("a", 4 * (image + made), 4 * (8 * 4 * 9 + 8)),
        LayerMemory("p", 4 * (made + pooled), 0),
    )


def test_the_largest_layer_of_the_whole_stack_is_the_first_pool(yolo: Graph) -> None:
    maps = 4 * 32 * (608 * 608 + 304 * 304)
    assert largest(yolo, 1) == LayerMemory("pool1", maps, 0)


@pytest.mark.parametrize(("parts", "saved"), [(3, 0.58), (5, 0.68)])
def test_tiles_save_at_least_what_was_published(yolo: Graph, parts: int, saved: float) -> None:
    assert largest(yolo, parts).total <= (1 - saved) * largest(yolo, 1).total


def test_finer_tiles_hold_less(yolo: Graph) -> None:
    held = [largest(yolo, parts).total for parts in (1, 2, 3, 5)]
    assert held == sorted(set(held), reverse=True)
