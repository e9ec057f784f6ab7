from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, shape_inference

from edgesplit.errors import ModelError
from edgesplit.zoo.build import Settings
from edgesplit.zoo.catalogue import ZOO, build
from edgesplit.zoo.write import onnx_model

FULL_SIZE = {
    "lenet5": (61_706, 416_520),
    "alexnet": (62_378_344, 1_135_256_096),
    "vgg16": (138_357_544, 15_470_264_320),
}
NARROW = {
    "lenet5": {"width": 0.7, "input": 20},
    "alexnet": {"width": 0.05, "input": 67},
    "vgg16": {"width": 0.05, "input": 32},
}
LAYERS = {
    "lenet5": "conv1 conv2 fc1 fc2 fc3",
    "alexnet": "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8",
    "vgg16": "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3 "
    "conv5_1 conv5_2 conv5_3 fc6 fc7 fc8",
}


def full_size(name: str) -> ModelProto:
    entry = ZOO[name]
    return shape_inference.infer_shapes(onnx_model(entry.network(entry.defaults)), strict_mode=True)


def macs(model: ModelProto) -> int:
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    values = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*model.graph.value_info, *model.graph.output)
    }
    return sum(
        prod(values[node.output[0]]) * prod(weights[node.input[1]][1:])
        for node in model.graph.node
        if node.op_type in {"Conv", "Gemm"}
    )


@pytest.mark.parametrize("name", ZOO)
def test_full_size_counts(name: str) -> None:
    model = full_size(name)
    parameters = sum(prod(tensor.dims) for tensor in model.graph.initializer)
    assert (parameters, macs(model)) == FULL_SIZE[name]


@pytest.mark.parametrize("name", ZOO)
def test_nodes_bear_readable_unique_names(name: str) -> None:
    nodes = full_size(name).graph.node
    heavy = [node.name for node in nodes if node.op_type in {"Conv", "Gemm"}]
    assert heavy == LAYERS[name].split()
    assert len({node.name for node in nodes}) == len(nodes)
    assert all(node.name for node in nodes)


@pytest.mark.parametrize("name", ZOO)
def test_builder_and_shape_inference_agree(name: str) -> None:
    model = full_size(name)
    flat = next(node.output[0] for node in model.graph.node if node.op_type == "Flatten")
    inferred = next(value for value in model.graph.value_info if value.name == flat)
    extents = [dim.dim_value for dim in inferred.type.tensor_type.shape.dim]
    assert extents == [1, {"lenet5": 400, "alexnet": 9216, "vgg16": 25088}[name]]


@pytest.mark.parametrize("name", ZOO)
def test_narrow_models_run(name: str, tmp_path: Path) -> None:
    path = build(name, NARROW[name] | {"classes": 7}, tmp_path)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    images = np.random.default_rng(1).standard_normal((2, *shape), dtype=np.float32)
    first, second = (session.run(["probabilities"], {"image": image})[0] for image in images)
    assert first.shape == (1, 7)
    assert first.sum() == pytest.approx(1, abs=1e-5)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_random_weights_are_he_normal_and_no_bias_is_zero(name: str, tmp_path: Path) -> None:
    path = build(name, {"width": 0.1, "input": 96}, tmp_path)
    for tensor in onnx.load(path).graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        assert array.dtype == np.float32
        if tensor.name.endswith(".bias"):
            assert np.all(array != 0)
        elif array.size > 5000:
            assert array.std() == pytest.approx(np.sqrt(2 / prod(array.shape[1:])), rel=0.05)


@pytest.mark.parametrize(("name", "least"), [("lenet5", 16), ("alexnet", 67), ("vgg16", 32)])
def test_an_input_too_small_is_refused(name: str, least: int) -> None:
    entry = ZOO[name]
    entry.network(Settings(input=least, classes=10))
    with pytest.raises(ModelError, match=f"{least - 1} x {least - 1} is too small for {name}"):
        entry.network(Settings(input=least - 1, classes=10))


def test_width_never_falls_below_four_units_and_keeps_the_classes() -> None:
    network = ZOO["vgg16"].network(Settings(input=32, classes=3, width=1e-6))
    rows = [parameter.shape[0] for parameter in network.parameters]
    assert rows == [4] * 30 + [3, 3]
