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
}


@pytest.mark.parametrize("case", CASES)
def test_tiles_of_each_operator_equal_the_whole(case: str, tmp_path: Path) -> None:
    model = Draft((1, 6, 7, 8))
    CASES[case](model)
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
