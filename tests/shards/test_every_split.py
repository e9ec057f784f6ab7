"""Whatever the model and whoever does what: the shards together answer like the whole."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from comparing import compare
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from random_allocations import allocations
from random_models import draw_graph, runs

from edgesplit.graph.importer import import_model
from edgesplit.zoo import catalogue

NARROW: dict[str, dict[str, float | int]] = {
    "lenet5": {},
    "alexnet": {"width": 0.0625, "input": 67, "classes": 10},
    "vgg16": {"width": 0.0625, "input": 32, "classes": 10},
    "resnet50": {"width": 0.05, "input": 64, "classes": 10},
    "xception": {"width": 0.02, "input": 71, "classes": 10},
    "c3d": {"width": 0.05, "input": 32, "classes": 10},
    "yolov2": {"width": 0.02, "input": 96, "classes": 10},
}
EXAMPLES = int(os.environ.get("EDGESPLIT_EXAMPLES", "1"))
"""Multiplies the number of random cases; thousands take minutes."""

RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(RELAXED, max_examples=60 * EXAMPLES)
@given(data=st.data())
def test_random_models_under_random_allocations(data: DataObject) -> None:
    model = draw_graph(data)
    assume(runs(model))
    also = data.draw(st.sampled_from([node.output[0] for node in model.nodes]))
    outputs = dict.fromkeys([model.at, *([also] if data.draw(st.booleans()) else [])])
    with TemporaryDirectory() as folder:
        graph = model.imported(Path(folder), *outputs)
        allocation = data.draw(allocations(graph, data.draw(st.integers(1, 13))))
        compare(graph, allocation, Path(folder) / "shards")


@pytest.mark.parametrize("name", NARROW)
@settings(RELAXED, max_examples=3 * EXAMPLES)
@given(data=st.data())
def test_the_zoo_under_random_allocations(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: DataObject
) -> None:
    cache = tmp_path_factory.getbasetemp() / "every_split"
    path = catalogue.build(name, NARROW[name], cache)
    graph = import_model(path, cache / "imported")
    allocation = data.draw(allocations(graph, data.draw(st.integers(1, 12))))
    with TemporaryDirectory() as folder:
        compare(graph, allocation, Path(folder))
