"""Encodings of a model's floats, from what they are seen to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import Draft, whole

from edgesplit.errors import ModelError
from edgesplit.graph.encoding import with_encodings
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Encoding, Graph, Pixels
from edgesplit.graph.samples import varied_inputs


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """A convolution, an activation, a convolution."""
    model = Draft((1, 3, 9, 9))
    model.add("Conv", model.weight(4, 3, 3, 3), model.weight(4), kernel_shape=[3, 3])
    model.add("Relu")
    model.add("Conv", model.weight(2, 4, 3, 3), kernel_shape=[3, 3])
    return model.imported(tmp_path)


def encodings(graph: Graph) -> dict[str, Encoding]:
    return {name: v.encoding for name, v in graph.values.items() if v.encoding}


def test_only_what_is_made_inside_has_an_encoding(graph: Graph) -> None:
    assert encodings(graph) == {}
    inside = {name for node in graph.nodes for name in node.outputs} - {graph.outputs[0].name}
    found = with_encodings(graph, "float16")
    assert encodings(found) == dict.fromkeys(inside, Encoding("float16"))
    assert {found.values[name].wire_itemsize for name in inside} == {2}
    assert all(value.itemsize == 4 for value in found.values.values() if value.dtype == "float32")


def test_bytes_cover_what_was_seen_and_zero_is_exact(graph: Graph) -> None:
    seen = with_encodings(graph, "uint8")
    assert set(encodings(seen)) == set(encodings(with_encodings(graph, "float16")))
    for inputs in varied_inputs(graph.inputs, [7]):
        for name, array in whole(graph, inputs, list(encodings(seen))).items():
            how = encodings(seen)[name]
            steps = np.clip(np.round(array / how.scale) + how.zero, 0, 255).astype(np.uint8)
            assert np.abs(how.decode(steps) - array).max() <= 0.1 * np.abs(array).max()
            assert how.decode(np.array([how.zero], np.uint8)) == 0.0
            assert array.min() < 0 or how.zero == 0


def test_ranges_are_measured_once(graph: Graph) -> None:
    first = with_encodings(graph, "uint8")
    for file in graph.path.parent.glob("model.*"):
        file.unlink()
    assert with_encodings(graph, "uint8") == first
    for file in graph.path.parent.glob("ranges-*"):
        file.write_text("{", encoding="utf-8")
    with pytest.raises((ModelError, FileNotFoundError)):
        with_encodings(graph, "uint8")


def test_requests_that_are_given_are_covered_too(graph: Graph) -> None:
    bright = {"x": np.full((1, 3, 9, 9), 1e3, np.float32)}
    given, without = with_encodings(graph, "uint8", [bright]), with_encodings(graph, "uint8")
    for name, array in whole(graph, bright, list(encodings(given))).items():
        how = encodings(given)[name]
        lo, hi = (0 - how.zero) * how.scale, (255 - how.zero) * how.scale
        assert lo - how.scale <= array.min() <= array.max() <= hi + how.scale
        assert how.scale > 10 * encodings(without)[name].scale
    assert with_encodings(graph, "uint8", [bright]) == given


def test_a_model_of_pixels_is_measured_on_bytes(tmp_path: Path) -> None:
    model = Draft((1, 3, 9, 9))
    model.add("Conv", model.weight(4, 3, 3, 3), kernel_shape=[3, 3])
    model.add("Relu")
    path = model.save(tmp_path)
    graph = import_model(path, tmp_path / "cache", pixels=Pixels(1 / 255))
    scales = [how.scale for how in encodings(with_encodings(graph, "uint8")).values()]
    assert len(scales) >= 3
    assert all(np.isfinite(scale) and scale > 0 for scale in scales)


def test_an_encoded_name_is_nobody_elses(tmp_path: Path) -> None:
    model = Draft((1, 4))
    model.add("Relu")
    model.add("Gemm", model.weight(4, 4))
    graph = with_encodings(model.imported(tmp_path), "float16")
    (name,) = encodings(graph)
    taken = {**graph.values, f"{name}(float16)": graph.values[name]}
    assert graph.wire_name(name) == f"{name}(float16)"
    assert type(graph)(**{**vars(graph), "values": taken}).wire_name(name) == f"{name}(float16)'"
