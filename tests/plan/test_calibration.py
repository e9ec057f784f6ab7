"""Calibration files of a model file: what uint8 activations must reach."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save
from PIL import Image

from edgesplit.errors import ModelError, UsageError
from edgesplit.graph.model import Graph
from edgesplit.plan.planner import graph_of
from edgesplit.spec.model import Activations, ModelSpec, Preprocessing, Source


def added(folder: Path, names: Iterable[str]) -> Source:
    """A model that adds up its inputs, twice."""
    inputs = list(names)
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 8, 8]) for n in inputs]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])
    nodes = [
        helper.make_node("Sum", [*inputs, *inputs], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "added", ports, [out])
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "added.onnx")
    return Source(path=folder / "added.onnx")


def reach(graph: Graph) -> float:
    """The greatest number that the sum can travel as."""
    (how,) = (value.encoding for value in graph.values.values() if value.encoding)
    return (255 - how.zero) * how.scale


def spec(source: Source, *files: Path, activations: Activations = "uint8") -> ModelSpec:
    bright = Preprocessing(channels="gray", scale=1.0)
    return ModelSpec(source, bright, activations=activations, calibration=files)


def test_images_and_arrays_widen_what_uint8_stands_for(tmp_path: Path) -> None:
    source, cache = added(tmp_path, ["x"]), tmp_path / "cache"
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "light.png")
    np.save(tmp_path / "high.npy", np.full((1, 8, 8), 1e4, np.float32))
    files = (tmp_path / "light.png", tmp_path / "high.npy")
    reached = [reach(graph_of(spec(source, *files[:n]), cache)) for n in range(3)]
    assert reached[0] < 30
    assert reached[1:] == pytest.approx([400, 2e4], rel=0.01)


def test_a_file_that_is_missing_is_told_only_where_it_is_needed(tmp_path: Path) -> None:
    source, cache = added(tmp_path, ["x"]), tmp_path / "cache"
    gone = tmp_path / "gone.png"
    assert graph_of(spec(source, gone, activations="float16"), cache).values["sum"].encoding
    with pytest.raises(UsageError, match=r"no input file .*gone\.png"):
        graph_of(spec(source, gone), cache)


def test_a_model_of_several_inputs_takes_no_calibration(tmp_path: Path) -> None:
    source = added(tmp_path, ["x", "z"])
    with pytest.raises(ModelError, match="has 2 inputs"):
        graph_of(spec(source, tmp_path / "any.png"), tmp_path / "cache")
    assert reach(graph_of(spec(source), tmp_path / "cache")) > 0
