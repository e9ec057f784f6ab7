"""Pixels as inputs of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from small_models import Draft

from edgesplit.errors import ModelError
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Pixels

SCALING = Pixels(1 / 255, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def convolved(*shape: int) -> Draft:
    model = Draft(shape)
    model.add("Conv", model.weight(4, shape[1], 3, 3), model.weight(4), kernel_shape=[3, 3])
    model.add("Relu")
    return model


def test_pixels_make_the_same_answer_as_the_floats_they_mean(tmp_path: Path) -> None:
    path = convolved(1, 3, 9, 9).save(tmp_path)
    plain = import_model(path, tmp_path / "cache")
    taken = import_model(path, tmp_path / "cache", pixels=SCALING)
    assert [(p.name, p.dtype) for p in taken.inputs] == [("x", "uint8")]
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 9, 9), np.uint8)
    mean, std = (np.reshape(numbers, (1, 3, 1, 1)) for numbers in (SCALING.mean, SCALING.std))
    floats = ((image * SCALING.scale - mean) / std).astype(np.float32)
    (wanted,) = ort.InferenceSession(plain.path).run(None, {"x": floats})
    (found,) = ort.InferenceSession(taken.path).run(None, {"x": image})
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_both_ways_to_feed_a_model_are_kept_apart_in_the_cache(tmp_path: Path) -> None:
    path = convolved(1, 3, 9, 9).save(tmp_path)
    found = [
        import_model(path, tmp_path / "cache", pixels=pixels)
        for pixels in (None, SCALING, None, Pixels(1.0), SCALING)
    ]
    assert len({graph.digest for graph in found}) == 3
    assert [graph.inputs[0].dtype for graph in found] == ["float32", "uint8", "float32"] + [
        "uint8"
    ] * 2


def test_the_arithmetic_belongs_to_the_first_layer(tmp_path: Path) -> None:
    graph = import_model(convolved(1, 3, 9, 9).save(tmp_path), tmp_path / "cache", pixels=SCALING)
    assert len(graph.layers) == 1
    assert graph.layers[0].nodes[0].op == "Cast"


@pytest.mark.parametrize(
    ("shape", "pixels", "what"),
    [
        ((1, 3, 9, 9), Pixels(mean=(1.0, 2.0)), "2 numbers scale input 'x', which has 3 channels"),
    ],
)
def test_scalings_that_do_not_fit_are_refused(
    shape: tuple[int, ...], pixels: Pixels, what: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=what):
        import_model(convolved(*shape).save(tmp_path), tmp_path / "cache", pixels=pixels)


def test_what_is_no_image_is_not_sent_as_pixels(tmp_path: Path) -> None:
    model = Draft((1, 8))
    model.add("Gemm", model.weight(8, 4))
    with pytest.raises(ModelError, match="no image of float32"):
        import_model(model.save(tmp_path), tmp_path / "cache", pixels=SCALING)
