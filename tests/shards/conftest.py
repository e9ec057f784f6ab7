from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgesplit.graph import importer
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.spec.cluster import Cluster, Link
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.zoo import catalogue

NARROW: dict[str, dict[str, float | int]] = {
    "lenet5": {},
    "alexnet": {"width": 0.0625, "input": 67, "classes": 10},
    "vgg16": {"width": 0.0625, "input": 32, "classes": 10},
}

Zoo = Callable[[str], Graph]
Import = Callable[..., Graph]
Allocate = Callable[..., Allocation]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Return the narrow built-in models, each imported once."""
    cache = tmp_path_factory.mktemp("models")
    graphs: dict[str, Graph] = {}

    def get(name: str) -> Graph:
        if name not in graphs:
            path = catalogue.build(name, NARROW[name], cache)
            graphs[name] = importer.import_model(path, cache / "imported")
        return graphs[name]

    return get


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Return what imports a graph written down as nodes, inputs, outputs and weights."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: dict[str, Sequence[int]],
        outputs: dict[str, Sequence[int]],
        weights: dict[str, np.ndarray[Any, Any]],
        opset: int = 17,
    ) -> Graph:
        graph = helper.make_graph(
            nodes,
            "handmade",
            [
                helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s)
                for n, s in inputs.items()
            ],
            [
                helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s)
                for n, s in outputs.items()
            ],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        path = tmp_path / "handmade.onnx"
        onnx.save(model, path)
        return importer.import_model(path, tmp_path / "imported")

    return make


@pytest.fixture
def allocate() -> Allocate:
    """Return what splits every layer that has a row for each of n devices, in unequal blocks."""

    def over(graph: Graph, devices: int, parity: int = 0, seed: int = 0) -> Allocation:
        source = random.Random(seed)  # noqa: S311 - block bounds, no secrets
        stages = [
            Stage(f"stage{number}", (layer.name,), *_split(graph, number, devices, parity, source))
            for number, layer in enumerate(graph.layers)
        ]
        cluster = Cluster("test", (), Link(1e9, 0.0))
        return Allocation(cluster, ModelSpec(Source()), graph.digest, tuple(stages))

    return over


def _split(
    graph: Graph, number: int, devices: int, parity: int, source: random.Random
) -> tuple[Any, tuple[Share, ...], tuple[str, ...]]:
    heavy = graph.layers[number].heavy
    extent = graph.values[heavy.outputs[0]].shape[1] if heavy else 0
    if extent < devices or devices < 2:
        return "whole", (Share("d0", 0, 0),), ()
    bounds = [0, *sorted(source.sample(range(1, extent), devices - 1)), extent]
    shares = (Share(f"d{i}", bounds[i], bounds[i + 1]) for i in range(devices))
    return "output", tuple(shares), tuple(f"p{row}" for row in range(parity))
