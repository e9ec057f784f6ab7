"""Boxes computed from the boxes they need equal the same boxes of the whole model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from onnx import helper
from random_models import add_step, runs
from small_models import Draft, same_as_whole

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Graph


def boxes(graph: Graph) -> st.SearchStrategy[Region]:
    """Boxes of the first output."""
    axes = [
        st.integers(0, n - 1).flatmap(
            lambda lo, n=n: st.integers(lo + 1, n).map(lambda hi: (lo, hi))  # type: ignore[misc]
        )
        for n in graph.outputs[0].shape
    ]
    return st.tuples(*axes).map(region)


def region(bounds: Sequence[tuple[int, int]]) -> Region:
    return Region(tuple(lo for lo, _ in bounds), tuple(hi for _, hi in bounds))


def corners(shape: tuple[int, ...]) -> list[Region]:
    """Tiles of a grid of two by two ... cells, and the whole."""
    cuts = [[(0, n)] if n == 1 else [(0, n // 3 + 1), (n // 3 + 1, n)] for n in shape]
    return [*map(region, product(*cuts)), Region.full(shape)]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_tiles_of_random_chains_equal_the_whole(data: DataObject) -> None:
    axes = data.draw(st.sampled_from([1, 2, 2, 3]))
    channels = data.draw(st.integers(1, 6))
    extents = data.draw(st.lists(st.integers(9, 16), min_size=axes, max_size=axes))
    model = Draft((1, channels, *extents), seed=data.draw(st.integers(0, 9)))
    for _ in range(data.draw(st.integers(1, 4))):
        channels = add_step(model, data, channels, axes)
    assume(runs(model))
    with TemporaryDirectory() as folder:
        graph = model.imported(Path(folder))
        wants = [data.draw(boxes(graph)) for _ in range(3)]
        same_as_whole(graph, {"x": model.x()}, *wants)


def pooled(op: str, **attributes: Any) -> Callable[[Draft], object]:  # noqa: ANN401 - as ONNX has
    return lambda m: m.add(op, kernel_shape=[3, 3], strides=[2, 2], **attributes)


def same(
    op: str,
    *shapes: tuple[int, ...],
    **attributes: Any,  # noqa: ANN401 - as ONNX has
) -> Callable[[Draft], object]:
    return lambda m: m.add(op, *(m.weight(*shape) for shape in shapes), **attributes)


def reshaped(*shape: int) -> Callable[[Draft], object]:
    return lambda m: m.add("Reshape", m.constant(np.array(shape, np.int64)))


def unsqueezed(m: Draft) -> None:
    m.add("Unsqueeze", m.constant(np.array([1, 3], np.int64)))
    m.add("Relu")
    m.add("Squeeze", m.constant(np.array([1], np.int64)))


def joined(m: Draft) -> None:
    m.add("Relu")
    left = m.at
    right = m.add("Sigmoid", inputs=["x"])
    m.add("Concat", inputs=[left, right, "x"], axis=1)


def skipped(m: Draft) -> None:
    m.add("Conv", m.weight(6, 6, 3, 3), m.weight(6), pads=[1] * 4, kernel_shape=[3, 3])
    m.add("Add", "x")
    m.add("Relu")


def batched(m: Draft) -> None:
    m.add("Transpose", perm=[0, 2, 3, 1])
    m.add("MatMul", m.weight(7, 6, 4))


def normalised(m: Draft) -> None:
    positive = m.constant(np.linspace(0.5, 2, 6, dtype=np.float32))
    m.add("BatchNormalization", *[positive] * 4)


def recurrent(m: Draft) -> None:
    m.add("Reshape", m.constant(np.array([6, 7, 8], np.int64)))
    m.nodes.append(
        helper.make_node(
            "LSTM", [m.at, m.weight(1, 20, 8), m.weight(1, 20, 5)], ["y", "h"], hidden_size=5
        )
    )
    m.at = "h"
    m.add("Tanh")


def ints(m: Draft, *values: int) -> str:
    return m.constant(np.array(values, np.int64))


def floats(m: Draft, *values: float) -> str:
    return m.constant(np.array(values, np.float32))


def sliced(
    starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]
) -> Callable[[Draft], object]:
    return lambda m: m.add("Slice", *(ints(m, *v) for v in (starts, ends, axes, steps)))


def padded(mode: str, *pads: int, axes: Sequence[int] = ()) -> Callable[[Draft], object]:
    def add(m: Draft) -> None:
        value = m.constant(np.array(0.5, np.float32)) if mode == "constant" else ""
        m.add("Pad", ints(m, *pads), value, *([ints(m, *axes)] if axes else []), mode=mode)

    return add


def scaled(mode: str, coordinates: str, *scales: float, **more: Any) -> Callable[[Draft], object]:  # noqa: ANN401 - as ONNX has
    return lambda m: m.add(
        "Resize",
        "",
        floats(m, 1, 1, *scales),
        mode=mode,
        coordinate_transformation_mode=coordinates,
        **more,
    )


def sized(mode: str, *sizes: int) -> Callable[[Draft], object]:
    return lambda m: m.add("Resize", "", "", ints(m, 1, 6, *sizes), mode=mode)


def halved(m: Draft) -> None:
    """Parts of a split, one of which is read twice, and one not at all."""
    m.nodes.append(helper.make_node("Split", ["x", ints(m, 1, 3, 2)], ["a", "b", "c"], axis=1))
    m.add("Sigmoid", inputs=["a"])
    m.add("Mul", "b")
    m.add("Add", "b")


def rejoined(m: Draft) -> None:
    m.nodes.append(helper.make_node("Split", ["x", ints(m, 2, 1, 5)], ["a", "b", "c"], axis=3))
    m.add("Concat", inputs=["c", "a"], axis=-1)


def reduced(op: str, *axes: int, keep: int = 1) -> Callable[[Draft], object]:
    given: dict[str, Any] = {"axes": axes} if axes else {}
    return lambda m: m.add(op, keepdims=keep, **given)


def up(
    *shape: int,
    bias: int = 0,
    **attributes: Any,  # noqa: ANN401 - as ONNX has
) -> Callable[[Draft], object]:
    shapes = [shape, *([(bias,)] if bias else [])]
    return lambda m: m.add("ConvTranspose", *(m.weight(*s) for s in shapes), **attributes)


LINEAR = "linear"
NEAREST = "nearest"
CASES: dict[str, Callable[[Draft], object]] = {
    "add bias": same("Add", (6, 1, 1)),
    "average over ceiled edge": pooled("AveragePool", ceil_mode=1, count_include_pad=1),
    "average, ceiled": pooled("AveragePool", ceil_mode=1, pads=[1] * 4),
    "average, padded": pooled("AveragePool", pads=[1] * 4, count_include_pad=1),
    "batch matmul": batched,
    "batch norm": normalised,
    "clip": lambda m: m.add(
        "Clip", m.constant(np.array(-0.5, np.float32)), m.constant(np.array(0.5, np.float32))
    ),
    "concat": joined,
    "conv, pads beyond the kernel": same("Conv", (4, 6, 1, 2), pads=[2] * 4),
    "conv, depthwise": same("Conv", (12, 1, 3, 3), group=6),
    "conv, grouped": same("Conv", (9, 2, 3, 3), (9,), group=3, pads=[1] * 4),
    "conv transpose": same("ConvTranspose", (6, 4, 3, 3), (4,), strides=[2, 2]),
    "cumsum has no rule": lambda m: m.add("CumSum", m.constant(np.array(2))),
    "div": same("Div", (1, 6, 7, 8)),
    "flatten": lambda m: m.add("Flatten"),
    "flatten, axis 2": lambda m: m.add("Flatten", axis=2),
    "global average": lambda m: m.add("GlobalAveragePool"),
    "leaky": lambda m: m.add("LeakyRelu", alpha=0.1),
    "log softmax": lambda m: m.add("LogSoftmax", axis=-1),
    "lrn": lambda m: m.add("LRN", size=5, alpha=0.5),
    "max, ceiled": pooled("MaxPool", ceil_mode=1),
    "max, dilated": pooled("MaxPool", dilations=[2, 2], auto_pad="SAME_UPPER"),
    "mul broadcasts the data": same("Mul", (5, 6, 7, 8)),
    "recurrent": recurrent,
    "reshape": reshaped(2, 3, 56),
    "reshape, unaligned": reshaped(21, 16),
    "skip": skipped,
    "softmax": lambda m: m.add("Softmax", axis=1),
    "squeeze": unsqueezed,
    "transpose": lambda m: m.add("Transpose"),
    "arg max": lambda m: m.add("ArgMax", axis=1),
    "depth to space": lambda m: (
        m.add("Conv", m.weight(12, 6, 1, 1)),
        m.add("DepthToSpace", blocksize=2),
    ),
    "depth to space, crd": lambda m: (
        m.add("Conv", m.weight(12, 6, 1, 1)),
        m.add("DepthToSpace", blocksize=2, mode="CRD"),
    ),
    "expand": lambda m: (m.add("ReduceMax", axes=[1]), m.add("Expand", ints(m, 2, 3, 1, 8))),
    "gather": lambda m: m.add("Gather", ints(m, 4, 0, -1, 4), axis=1),
    "gather, many": lambda m: m.add("Gather", m.constant(np.arange(70) % 7), axis=2),
    "gather, one": lambda m: m.add("Gather", m.constant(np.array(2)), axis=2),
    "gather, table": lambda m: m.add("Gather", m.constant(np.array([[2, 0], [1, 1]])), axis=3),
    "instance norm": same("InstanceNormalization", (6,), (6,)),
    "layer norm": same("LayerNormalization", (7, 8), (7, 8), axis=-2),
    "mean variance": lambda m: m.add("MeanVarianceNormalization"),
    "pad": padded("constant", 0, 1, 2, 3, 0, 0, 1, 9),
    "pad, cropping": padded("constant", 0, 0, -2, 3, 0, 0, 1, -4),
    "pad, edge": padded("edge", 0, 1, 2, 9, 0, 0, 1, 9),
    "pad, edge, cropping": padded("edge", 0, 1, -2, 9, 0, 0, 1, -5),
    "pad, reflect": padded("reflect", 0, 1, 6, 3, 0, 0, 5, 7),
    "pad, wrap": padded("wrap", 0, 1, 6, 3, 0, 0, 5, 7),
    "reduce all": reduced("ReduceSumSquare"),
    "reduce, flat": reduced("ReduceMean", 1, -1, keep=0),
    "reduce, kept": reduced("ReduceL2", 2),
    "reduce sum": lambda m: m.add("ReduceSum", ints(m, -1)),
    "reduce sum, nothing": lambda m: m.add("ReduceSum", ints(m), noop_with_empty_axes=1),
    "resize, cubic": scaled("cubic", "half_pixel", 2, 2),
    "resize, linear": scaled(LINEAR, "half_pixel", 2, 3),
    "resize, linear, corners": scaled(LINEAR, "align_corners", 2, 3),
    "resize, linear, down": scaled(LINEAR, "pytorch_half_pixel", 0.5, 0.25),
    "resize, linear, odd": scaled(LINEAR, "asymmetric", 1.5, 2.3),
    "resize, linear, symmetric": scaled(LINEAR, "half_pixel_symmetric", 1.5, 1.25),
    "resize, nearest": scaled(NEAREST, "asymmetric", 2, 3, nearest_mode="floor"),
    "resize, nearest, ceil": scaled(NEAREST, "half_pixel", 2.5, 1.5, nearest_mode="ceil"),
    "resize, nearest, down": scaled(NEAREST, "half_pixel", 0.5, 0.75),
    "resize, nearest, tf": scaled(NEAREST, "tf_half_pixel_for_nn", 2, 2),
    "resize, sizes": sized(NEAREST, 14, 12),
    "resize, sizes, linear": sized(LINEAR, 21, 15),
    "slice": sliced([1, -7], [5, 100], [1, 3], [1, 2]),
    "slice, backwards": sliced([-1, 6], [-100, 1], [1, 2], [-2, -3]),
    "space to depth": lambda m: (
        m.add("Slice", ints(m, 0), ints(m, 6), ints(m, 2)),
        m.add("SpaceToDepth", blocksize=2),
    ),
    "split": halved,
    "split on the map": rejoined,
    "tile": lambda m: m.add("Tile", ints(m, 1, 2, 1, 3)),
    "up, grouped": up(6, 2, 3, 3, bias=6, group=3, strides=[2, 1]),
    "up, output shape": up(6, 2, 3, 3, output_shape=[13, 16], strides=[2, 2]),
    "up, padded": up(6, 2, 4, 3, pads=[1, 2, 0, 1], strides=[3, 2], dilations=[1, 2]),
    "up, same lower": up(6, 2, 3, 4, auto_pad="SAME_LOWER", strides=[2, 3]),
    "up, same upper": up(6, 2, 3, 4, auto_pad="SAME_UPPER", strides=[2, 3]),
    "up, sparse": up(6, 2, 2, 1, bias=2, strides=[3, 4], output_padding=[2, 3]),
}


@pytest.mark.parametrize("case", CASES)
def test_tiles_of_each_operator_equal_the_whole(case: str, tmp_path: Path) -> None:
    model = Draft((1, 6, 7, 8))
    CASES[case](model)
    graph = model.imported(tmp_path)
    same_as_whole(graph, {"x": model.x()}, *corners(graph.outputs[0].shape))


def evenly(m: Draft) -> None:
    m.nodes.append(helper.make_node("Split", ["x"], ["a", "b", "c"], axis=3, num_outputs=3))
    m.add("Concat", inputs=["b", "c", "a"], axis=3)


def halves(m: Draft) -> None:
    m.nodes.append(helper.make_node("Split", ["x"], ["a", "b"], axis=1, split=[2, 4]))
    m.add("Concat", inputs=["b", "a"], axis=1)


DATED: dict[str, tuple[int, Callable[[Draft], object]]] = {
    "argmax, last": (12, lambda m: m.add("ArgMax", axis=-1, keepdims=0, select_last_index=1)),
    "pad with attributes": (9, lambda m: m.add("Pad", pads=[0, 0, 2, 1, 0, 0, 1, 3], value=0.5)),
    "pad some axes": (18, padded("constant", 1, 2, 3, 0, axes=[3, -2])),
    "reduce with inputs": (18, lambda m: m.add("ReduceMean", ints(m, 1, -1), keepdims=0)),
    "resize of opset 10": (10, lambda m: m.add("Resize", floats(m, 1, 1, 2, 1.5), mode=LINEAR)),
    "resize some axes": (
        19,
        lambda m: m.add("Resize", "", floats(m, 2, 1.5), mode=LINEAR, axes=[2, 3]),
    ),
    "resize some axes to sizes": (
        19,
        lambda m: m.add("Resize", "", "", ints(m, 16, 14), mode=NEAREST, axes=[-1, -2]),
    ),
    "slice with attributes": (
        9,
        lambda m: m.add("Slice", starts=[1, -3], ends=[6, 9], axes=[1, 2]),
    ),
    "split evenly": (18, evenly),
    "split with attributes": (9, halves),
    "upsample": (9, lambda m: m.add("Upsample", floats(m, 1, 1, 2, 3), mode=NEAREST)),
    "upsample with attributes": (8, lambda m: m.add("Upsample", scales=[1.0, 1.0, 2.0, 3.0])),
}


@pytest.mark.parametrize("case", DATED)
def test_tiles_of_operators_of_certain_opsets(case: str, tmp_path: Path) -> None:
    opset, add = DATED[case]
    model = Draft((1, 6, 7, 8), opset=opset)
    add(model)
    graph = model.imported(tmp_path)
    same_as_whole(graph, {"x": model.x()}, *corners(graph.outputs[0].shape))


@pytest.mark.parametrize("opset", [8, 11, 13, 22])
def test_tiles_hold_for_old_and_new_opsets(opset: int, tmp_path: Path) -> None:
    model = Draft((1, 3, 9, 9), opset=opset)
    model.add("Conv", model.weight(8, 3, 3, 3), model.weight(8), kernel_shape=[3, 3])
    model.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    model.add("Flatten")
    model.add("Gemm", model.weight(10, 72), model.weight(10), transB=1)
    model.add("Softmax")
    graph = model.imported(tmp_path)
    same_as_whole(graph, {"x": model.x()}, *corners(graph.outputs[0].shape))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_before_opset_13_softmax_sums_over_all_later_axes(op: str, tmp_path: Path) -> None:
    model = Draft((2, 3, 4, 5), opset=11)
    model.add(op, axis=2)
    graph = model.imported(tmp_path)
    same_as_whole(graph, {"x": model.x()}, *corners(graph.outputs[0].shape))


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_tiles_of_gemm(a: int, b: int, tmp_path: Path) -> None:
    model = Draft((9, 5) if a else (5, 9))
    model.add(
        "Gemm",
        model.weight(*((7, 9) if b else (9, 7))),
        model.weight(5, 1),
        transA=a,
        transB=b,
        alpha=0.5,
        beta=2.0,
    )
    graph = model.imported(tmp_path)
    same_as_whole(graph, {"x": model.x()}, *corners(graph.outputs[0].shape))
