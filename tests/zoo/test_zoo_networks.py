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
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet152": (60_192_808, 11_513_626_624),
    "xception": (22_855_952, 8_357_403_496),
    "c3d": (79_991_015, 38_548_959_232),
    "yolov2": (50_962_889, 31_469_126_656),
    "yolov2-16": (3_424_160, 13_000_343_552),
}
"""Learned parameters and multiply-accumulates, as the papers and their networks have them."""
NARROW = {
    "lenet5": {"width": 0.7, "input": 20},
    "alexnet": {"width": 0.05, "input": 67},
    "vgg16": {"width": 0.05, "input": 32},
    "resnet50": {"width": 0.05, "input": 40},
    "resnet152": {"width": 0.02, "input": 33},
    "xception": {"width": 0.02, "input": 71},
    "c3d": {"width": 0.05, "input": 32},
    "yolov2": {"width": 0.02, "input": 96},
    "yolov2-16": {"width": 0.05, "input": 64},
}
LAYERS = {
    "lenet5": "conv1 conv2 fc1 fc2 fc3",
    "alexnet": "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8",
    "vgg16": "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3 "
    "conv5_1 conv5_2 conv5_3 fc6 fc7 fc8",
    "c3d": "conv1a conv2a conv3a conv3b conv4a conv4b conv5a conv5b fc6 fc7 fc8",
    "yolov2-16": "conv0 conv2 conv4 conv5 conv6 conv8 conv9 conv10 conv12 conv13 conv14 conv15",
}
HEAVY = {"resnet50": 54, "resnet152": 156, "xception": 2 + 4 + 2 * 34 + 1, "yolov2": 23}
"""Convolutions and fully connected layers; Xception has 34 separable ones, two operators each."""
FLAT = {
    "lenet5": 400,
    "alexnet": 9216,
    "vgg16": 25088,
    "resnet50": 2048,
    "resnet152": 2048,
    "c3d": 8192,
}
LEAST = {
    "lenet5": 16,
    "alexnet": 67,
    "vgg16": 32,
    "xception": 7,
    "c3d": 16,
    "yolov2": 32,
    "yolov2-16": 16,
}
"""The smallest input that a model takes; ResNets take any."""


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
    network = ZOO[name].network(ZOO[name].defaults)
    learned = sum(prod(part.shape) for part in network.parameters if not part.statistic)
    assert (learned, macs(model)) == FULL_SIZE[name]


@pytest.mark.parametrize("name", ZOO)
def test_nodes_bear_readable_unique_names(name: str) -> None:
    nodes = full_size(name).graph.node
    heavy = [node.name for node in nodes if node.op_type in {"Conv", "Gemm"}]
    assert len(heavy) == HEAVY.get(name, len(heavy))
    assert heavy == LAYERS.get(name, " ".join(heavy)).split()
    assert len({node.name for node in nodes}) == len(nodes)
    assert all(node.name for node in nodes)


@pytest.mark.parametrize("name", ZOO)
def test_builder_and_shape_inference_agree(name: str) -> None:
    network = ZOO[name].network(ZOO[name].defaults)
    model = onnx_model(network)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, strict_mode=True)
    shape = inferred.graph.output[0].type.tensor_type.shape
    assert tuple(dim.dim_value for dim in shape.dim) == network.outputs[0].shape


@pytest.mark.parametrize("name", FLAT)
def test_as_many_features_as_published_reach_the_first_fully_connected_layer(name: str) -> None:
    network = ZOO[name].network(ZOO[name].defaults)
    first = next(node for node in network.nodes if node.op_type == "Gemm")
    weight = next(part for part in network.parameters if part.name == first.input[1])
    assert weight.shape[1] == FLAT[name]


@pytest.mark.parametrize("name", ZOO)
def test_narrow_models_run(name: str, tmp_path: Path) -> None:
    path = build(name, NARROW[name] | {"classes": 7}, tmp_path)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    (port,) = session.get_inputs()
    images = np.random.default_rng(1).standard_normal((2, *shape), dtype=np.float32)
    first, second = (session.run(None, {port.name: image})[0] for image in images)
    assert first.shape == tuple(session.get_outputs()[0].shape)
    assert np.isfinite(first).all()
    # Answers must tell inputs apart, or no error in them would ever be seen.
    assert np.abs(first - second).max() > 0.01 * np.abs(first).max()
    if session.get_outputs()[0].name == "probabilities":
        assert first.sum() == pytest.approx(1, abs=1e-5)
        assert first.max() < 0.999


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


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_an_input_too_small_is_refused(name: str, least: int) -> None:
    entry = ZOO[name]
    entry.network(Settings(input=least, classes=10))
    with pytest.raises(ModelError, match=f"{least - 1} x {least - 1} is too small for {name}"):
        entry.network(Settings(input=least - 1, classes=10))


def test_an_input_that_does_not_halve_evenly_is_refused_by_yolov2() -> None:
    with pytest.raises(ModelError, match="an input of 48 x 48 does not fit yolov2") as raised:
        ZOO["yolov2"].network(Settings(input=48, classes=10))
    assert "multiple of 32" in raised.value.remedy


def test_width_never_falls_below_four_units_and_keeps_the_classes() -> None:
    network = ZOO["vgg16"].network(Settings(input=32, classes=3, width=1e-6))
    rows = [parameter.shape[0] for parameter in network.parameters]
    assert rows == [4] * 30 + [3, 3]
