"""Any static graph of batch 1 plans and runs, whatever is in it; what can't be split runs whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from comparing import compare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from onnx import helper, numpy_helper, parser
from plans import equal_cluster
from random_allocations import allocations

from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.plan.planner import Problem, Strategy
from edgesplit.spec.model import ModelSpec, Source

Make = Callable[[], onnx.ModelProto]
FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def written(body: str, opset: int = 17, **weights: tuple[int, ...]) -> Make:
    """Return what parses a graph in ONNX's own notation, with random weights of these shapes."""

    def make() -> onnx.ModelProto:
        model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {body}')
        source = np.random.default_rng(0)
        for name, shape in weights.items():
            array = (source.standard_normal(shape) * 0.3).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        return model

    return make


def of_opset(opset: int) -> Make:
    """A convolutional model with a head, of operators that every opset has."""
    body = """net (float[1, 4, 12, 12] x) => (float[1, 5] y) {
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
        b = Relu (a)
        c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (b, v)
        d = Add (c, a)
        e = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)
        f = Flatten (e)
        g = Gemm <transB = 1> (f, u, t)
        y = Softmax <axis = 1> (g)
    }"""
    return written(body, opset, w=(8, 4, 3, 3), v=(8, 8, 3, 3), u=(5, 288), t=(5,))


def as_inputs() -> onnx.ModelProto:
    """Weights that are also inputs, as exporters once wrote them."""
    model = of_opset(9)()
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)
    return model


def as_nodes() -> onnx.ModelProto:
    """Weights that are made by Constant nodes."""
    model = of_opset(13)()
    nodes = [helper.make_node("Constant", [], [w.name], value=w) for w in model.graph.initializer]
    del model.graph.initializer[:]
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def recurrent() -> onnx.ModelProto:
    """A recurrent head of whose outputs the first is left out."""
    model = written(
        """net (float[1, 4, 6, 6] x) => (float[1, 1, 5] y) <int64[3] s = {6, 1, 24}> {
            a = Conv <pads = [1, 1, 1, 1]> (x, w)
            t = Transpose <perm = [3, 0, 1, 2]> (a)
            b = Reshape (t, s)
            none, y = LSTM <hidden_size = 5> (b, v, u)
        }""",
        w=(4, 4, 3, 3),
        v=(1, 20, 24),
        u=(1, 20, 5),
    )()
    model.graph.node[-1].output[0] = ""
    return model


def echoing() -> onnx.ModelProto:
    """A model of whose inputs one is an output as well."""
    model = of_opset(17)()
    model.graph.output.append(model.graph.input[0])
    return model


CASES: dict[str, Make] = {
    "an input that is an output": echoing,
    "a recurrent head": recurrent,
    **{f"opset {opset}": of_opset(opset) for opset in (8, 9, 11, 13, 17, 26)},
    "weights are inputs": as_inputs,
    "weights are nodes": as_nodes,
    "shared weights": written(
        """net (float[1, 4, 9, 9] x) => (float[1, 4, 9, 9] y) {
            a = Conv <pads = [1, 1, 1, 1]> (x, w)
            b = Tanh (a)
            c = Conv <pads = [1, 1, 1, 1]> (b, w)
            y = Add (c, x)
        }""",
        w=(4, 4, 3, 3),
    ),
    "several inputs and outputs": written(
        """net (float[1, 3, 8, 8] x, float[1, 3, 8, 8] z, float[1, 2] unused)
            => (float[1, 6, 8, 8] y, float[1, 3] m, float[1, 6, 8, 8] a) {
            a = Conv <pads = [1, 1, 1, 1]> (x, w)
            b = Conv <pads = [1, 1, 1, 1]> (z, v)
            c = Mul (a, b)
            y = Sigmoid (c)
            p = Conv (y, u)
            m = ReduceMean <axes = [2, 3], keepdims = 0> (p)
        }""",
        w=(6, 3, 3, 3),
        v=(6, 3, 3, 3),
        u=(3, 6, 1, 1),
    ),
    "grouped and depthwise": written(
        """net (float[1, 6, 10, 11] x) => (float[1, 8, 5, 5] y)
            <float zero = {0}, float six = {6}, int64[2] starts = {0, 0}, int64[2] ends = {5, 5},
            int64[2] axes = {2, 3}> {
            a = Conv <group = 6, pads = [1, 1, 1, 1], strides = [2, 2]> (x, w)
            b = Clip (a, zero, six)
            c = Conv <group = 2> (b, v)
            y = Slice (c, starts, ends, axes)
        }""",
        w=(6, 1, 3, 3),
        v=(8, 3, 1, 1),
    ),
    "one axis": written(
        """net (float[1, 3, 31] x) => (float[1, 6, 15] y) {
            a = Conv <dilations = [2], pads = [2, 2]> (x, w)
            b = Relu (a)
            y = MaxPool <kernel_shape = [3], strides = [2]> (b)
        }""",
        w=(6, 3, 3),
    ),
    "three axes": written(
        """net (float[1, 3, 6, 8, 7] x) => (float[1, 5, 3, 4, 3] y) {
            a = Conv <pads = [1, 1, 1, 1, 1, 1]> (x, w)
            b = Relu (a)
            y = AveragePool <kernel_shape = [2, 2, 2], strides = [2, 2, 2]> (b)
        }""",
        w=(5, 3, 3, 3, 3),
    ),
    "a branch that runs whole": written(
        """net (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] y) {
            a = Conv (x, w)
            s = ReduceSum <keepdims = 0> (a)
            c = Less (s, s)
            b = If (c) <
                then_branch = left () => (float[1, 4, 6, 6] l) { l = Relu (a) },
                else_branch = right () => (float[1, 4, 6, 6] r) { r = Neg (a) }
            >
            y = Conv (b, v)
        }""",
        w=(4, 3, 3, 3),
        v=(4, 4, 1, 1),
    ),
    "a loop that runs whole": written(
        """net (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] y)
            <int64 n = {3}, bool go = {1}> {
            a = Conv (x, w)
            b = Loop (n, go, a) <body = again (int64 i, bool on, float[1, 4, 6, 6] h)
                => (bool off, float[1, 4, 6, 6] k) { off = Identity (on) k = Add (h, a) }>
            y = Conv (b, v)
        }""",
        w=(4, 3, 3, 3),
        v=(4, 4, 1, 1),
    ),
    "integers and truth": written(
        """net (float[1, 4, 8, 8] x, int64[1, 4] ids, bool[1, 4] on)
            => (float[1, 6, 6, 6] y, int64[1, 6, 6] best, bool[1, 4] off, int64[1, 4] twice) {
            a = Conv (x, w)
            best = ArgMax <axis = 1, keepdims = 0> (a)
            off = Not (on)
            twice = Add (ids, ids)
            y = Relu (a)
        }""",
        w=(6, 4, 3, 3),
    ),
    "half precision": written(
        """net (float16[1, 4, 8, 8] x) => (float16[1, 6, 3, 3] y) {
            h = Cast <to = 10> (w)
            a = Conv (x, h)
            y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)
        }""",
        w=(6, 4, 3, 3),
    ),
    "attention": written(
        """net (float[1, 7, 12] x) => (float[1, 7, 12] y) <int64[4] s = {1, 7, 3, 4},
            int64[3] r = {1, 7, 12}, int64[3] thirds = {12, 12, 12}> {
            a = MatMul (x, w)
            q, k, v = Split <axis = 2> (a, thirds)
            q4 = Reshape (q, s)
            k4 = Reshape (k, s)
            v4 = Reshape (v, s)
            qt = Transpose <perm = [0, 2, 1, 3]> (q4)
            kt = Transpose <perm = [0, 2, 3, 1]> (k4)
            vt = Transpose <perm = [0, 2, 1, 3]> (v4)
            p = MatMul (qt, kt)
            o = Softmax <axis = -1> (p)
            m = MatMul (o, vt)
            mt = Transpose <perm = [0, 2, 1, 3]> (m)
            z = Reshape (mt, r)
            n = MatMul (z, u)
            h = Add (n, x)
            y = LayerNormalization (h, g, b)
        }""",
        w=(12, 36),
        u=(12, 12),
        g=(12,),
        b=(12,),
    ),
}


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Graph]:
    folder = tmp_path_factory.mktemp("any")

    def get(case: str) -> Graph:
        path = folder / f"{case.replace(' ', '_')}.onnx"
        if not path.exists():
            path.write_bytes(CASES[case]().SerializeToString())
        return import_model(path, folder / "cache")

    return get


@pytest.mark.parametrize("case", CASES)
@FEW
@given(data=st.data())
def test_random_allocations_answer_like_the_whole(
    case: str,
    graphs: Callable[[str], Graph],
    tmp_path_factory: pytest.TempPathFactory,
    data: DataObject,
) -> None:
    graph = graphs(case)
    allocation = data.draw(allocations(graph, data.draw(st.integers(1, 6))))
    compare(graph, allocation, tmp_path_factory.getbasetemp() / "any_shards")


@pytest.mark.parametrize("strategy", ["procedure1", "search"])
@pytest.mark.parametrize("case", CASES)
def test_plans_answer_like_the_whole(
    case: str, strategy: Strategy, graphs: Callable[[str], Graph], tmp_path: Path
) -> None:
    graph = graphs(case)
    problem = Problem(graph, equal_cluster(3), ModelSpec(Source(path=graph.path)), {})
    compare(graph, problem.solve(strategy).allocation, tmp_path)
