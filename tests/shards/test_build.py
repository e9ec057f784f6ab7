from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from edgesplit.dataflow.region import Region
from edgesplit.graph import importer
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.lower import lower
from edgesplit.plan.shard import Code, ShardSpec
from edgesplit.shards.build import build_shard
from edgesplit.shards.builder import build
from edgesplit.shards.shard import Shard
from edgesplit.shards.store import Store
from edgesplit.zoo import catalogue

Zoo = Callable[[str], Graph]
Import = Callable[..., Graph]
Allocate = Callable[..., Allocation]


def test_the_second_time_nothing_is_built(zoo: Zoo, allocate: Allocate, tmp_path: Path) -> None:
    graph, seen = zoo("lenet5"), list[tuple[int, int]]()
    lowered = lower(graph, allocate(graph, 3, 1))
    first = build(graph, lowered, tmp_path, lambda *done: seen.append(done))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.*")}
    second = build(graph, lowered, tmp_path)
    assert first.new == len(first.shards)
    assert seen[0] == (0, len(first.shards))
    assert seen[-1] == (len(first.shards), len(first.shards))
    assert second.new == 0
    assert (second.table, second.shards) == (first.table, first.shards)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.*")}


def test_what_vanished_is_built_again(zoo: Zoo, allocate: Allocate, tmp_path: Path) -> None:
    graph = zoo("lenet5")
    lowered = lower(graph, allocate(graph, 2, 1))
    first = build(graph, lowered, tmp_path)
    lost = next(name for shard in first.shards.values() for name, _ in shard.files[1:])
    (tmp_path / lost).unlink()
    again = build(graph, lowered, tmp_path)
    assert 0 < again.new < len(again.shards)
    assert again.shards == first.shards
    Store(tmp_path).check(lost)


def test_every_task_with_a_shard_gets_its_digest(
    zoo: Zoo, allocate: Allocate, tmp_path: Path
) -> None:
    graph = zoo("alexnet")
    lowered = lower(graph, allocate(graph, 2))
    built = build(graph, lowered, tmp_path)
    ordered = {spec.task for spec in lowered.shards}
    assert {task.id for task in built.table.tasks if task.shard} == ordered
    for shard in built.shards.values():
        for name, size in shard.files:
            assert (tmp_path / name).stat().st_size == size
            Store(tmp_path).check(name)


_ANOTHER_PROCESS = """
import pickle, sys
from pathlib import Path
from edgesplit.graph.importer import import_model
from edgesplit.shards.build import build_shard
from edgesplit.shards.store import Store
folder = Path(sys.argv[1])
graph = import_model(Path(sys.argv[2]), folder)
for spec in pickle.load(sys.stdin.buffer):
    print(build_shard(graph, spec, Store(folder)).digest)
"""


def test_the_bytes_are_the_same_in_another_process(allocate: Allocate, tmp_path: Path) -> None:
    path = catalogue.build("lenet5", {}, tmp_path)
    graph = importer.import_model(path, tmp_path / "imported")
    lowered = lower(graph, allocate(graph, 3, 1))
    built = build(graph, lowered, tmp_path / "here")
    other = subprocess.run(
        [sys.executable, "-c", _ANOTHER_PROCESS, str(tmp_path / "there"), str(path)],
        input=pickle.dumps(lowered.shards),
        capture_output=True,
        check=True,
    )
    assert other.stdout.decode().split() == [shard.digest for shard in built.shards.values()]


def test_weights_are_beside_the_model_aligned_and_nothing_large_is_inside(
    zoo: Zoo, allocate: Allocate, tmp_path: Path
) -> None:
    graph = zoo("alexnet")
    built = build(graph, lower(graph, allocate(graph, 3, 1)), tmp_path)
    for shard in built.shards.values():
        model = onnx.load(tmp_path / shard.files[0][0], load_external_data=False)
        for tensor in model.graph.initializer:
            assert len(tensor.raw_data) <= 1024
            where = {entry.key: entry.value for entry in tensor.external_data}
            if where:
                assert where["location"] == shard.files[1][0]
                assert int(where["offset"]) % (4096 if int(where["length"]) >= 4096 else 64) == 0


def test_gemm_weights_are_mapped_not_copied(imported: Import, tmp_path: Path) -> None:
    rows, columns = 2048, 2048
    weights = np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1, name="fc")
    graph = imported([node], {"x": [1, columns]}, {"y": [1, rows]}, {"w": weights})
    shard = _build(graph, tmp_path, {"y": Region((0, 0), (1, rows))})
    path = tmp_path / shard.files[0][0]
    grown = subprocess.run(
        [sys.executable, "-c", _ANONYMOUS_GROWTH, str(path), str(columns)],
        capture_output=True,
        check=True,
    )
    assert shard.weight_bytes == weights.nbytes
    assert int(grown.stdout) < weights.nbytes // 4


_ANONYMOUS_GROWTH = """
import sys
from pathlib import Path
import numpy as np
from edgesplit.runtime.session import open_session
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(l for l in lines if l.startswith("RssAnon")).split()[1])
before = anonymous()
session = open_session(Path(sys.argv[1]), 1, shared=False)
session.run(None, {"x": np.ones((1, int(sys.argv[2])), np.float32)})
print(anonymous() - before)
"""


@pytest.mark.parametrize(
    ("attributes", "weights", "bias"),
    [
        ({"transB": 1, "alpha": 0.5, "beta": 2.0}, (11, 6), (11,)),
        ({"transB": 0, "alpha": 2.0}, (6, 11), (1, 11)),
        ({"transB": 1}, (11, 6), (1,)),
        ({}, (6, 11), ()),
        ({"transB": 1}, (11, 6), None),
    ],
)
def test_a_parity_gemm_makes_the_sum_of_its_blocks(
    imported: Import,
    tmp_path: Path,
    attributes: dict[str, Any],
    weights: tuple[int, ...],
    bias: tuple[int, ...] | None,
) -> None:
    source = np.random.default_rng(7)
    arrays = {"w": source.standard_normal(weights).astype(np.float32)}
    if bias is not None:
        arrays["b"] = source.standard_normal(bias).astype(np.float32)
    node = helper.make_node("Gemm", ["x", *arrays], ["y"], name="fc", **attributes)
    graph = imported([node], {"x": [1, 6]}, {"y": [1, 11]}, arrays)
    _check_parity(graph, tmp_path, ((0, 3), (3, 8), (8, 11)), (1.0, -0.5, 0.25))


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_parity_conv_makes_the_sum_of_its_blocks(
    imported: Import, tmp_path: Path, dilation: int
) -> None:
    source = np.random.default_rng(7)
    arrays = {
        "w": source.standard_normal((7, 3, 3, 3)).astype(np.float32),
        "b": source.standard_normal(7).astype(np.float32),
    }
    node = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], name="c", dilations=[dilation] * 2, pads=[dilation] * 4
    )
    graph = imported([node], {"x": [1, 3, 9, 9]}, {"y": [1, 7, 9, 9]}, arrays)
    _check_parity(graph, tmp_path, ((0, 1), (1, 5), (5, 7)), (1.0, 1.0, 1.0))


def test_a_parity_matmul_makes_the_sum_of_its_blocks(imported: Import, tmp_path: Path) -> None:
    weights = np.random.default_rng(7).standard_normal((6, 11)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")
    graph = imported([node], {"x": [1, 6]}, {"y": [1, 11]}, {"w": weights})
    _check_parity(graph, tmp_path, ((0, 6), (6, 11)), (1.0, 1.0))


def _check_parity(
    graph: Graph,
    folder: Path,
    blocks: tuple[tuple[int, int], ...],
    coefficients: tuple[float, ...],
) -> None:
    inputs = random_inputs(graph.inputs, 3)
    (whole,) = ort.InferenceSession(graph.path).run(None, inputs)
    longest = max(hi - lo for lo, hi in blocks)
    box = graph.values["y"].region.with_axis(1, 0, longest)
    shard = _build(graph, folder, {"y": box}, Code("y", 1, blocks, coefficients))
    (found,) = ort.InferenceSession(folder / shard.files[0][0]).run(None, inputs)
    expected = np.zeros(box.shape, np.float64)
    for factor, (lo, hi) in zip(coefficients, blocks, strict=True):
        expected[:, : hi - lo] += factor * whole[:, lo:hi]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(whole).max())


def _build(
    graph: Graph, folder: Path, outputs: dict[str, Region], code: Code | None = None
) -> Shard:
    inputs = tuple((port.name, Region.full(port.shape)) for port in graph.inputs)
    names = tuple(node.name for node in graph.nodes)
    spec = ShardSpec(1, names, inputs, tuple(outputs.items()), code)
    return build_shard(graph, spec, Store(folder))


@pytest.mark.parametrize("opset", [9, 17])
def test_boxes_smaller_than_what_is_there_are_cropped(
    imported: Import, tmp_path: Path, opset: int
) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="relu"),
        helper.make_node("Conv", ["a", "w"], ["y"], name="conv", pads=[1, 1, 1, 1]),
    ]
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    shapes = {"y": [1, 4, 8, 8], "a": [1, 3, 8, 8]}
    graph = imported(nodes, {"x": [1, 3, 8, 8]}, shapes, {"w": weights}, opset)
    # The input is there in full; of `a`, less leaves than the convolution reads.
    wanted = {"y": Region((0, 1, 2, 0), (1, 3, 5, 8)), "a": Region((0, 0, 2, 0), (1, 3, 3, 8))}
    shard = _build(graph, tmp_path, wanted)
    inputs = random_inputs(graph.inputs, 0)
    whole = ort.InferenceSession(graph.path).run(list(wanted), inputs)
    cut = ort.InferenceSession(tmp_path / shard.files[0][0]).run(list(wanted), inputs)
    for box, right, found in zip(wanted.values(), whole, cut, strict=True):
        np.testing.assert_allclose(found, right[box.slices], atol=1e-5)


def test_a_node_with_subgraphs_is_copied_whole(imported: Import, tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        nodes = [helper.make_node(op, ["a", "big"], ["r"])]
        result = helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, [1, 300])
        return helper.make_graph(nodes, op, [], [result])

    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="relu"),
        helper.make_node("ReduceSum", ["a"], ["s"], name="sum", keepdims=0),
        helper.make_node("Cast", ["s"], ["c"], name="cast", to=onnx.TensorProto.BOOL),
        helper.make_node(
            "If", ["c"], ["b"], name="if", then_branch=branch("Add"), else_branch=branch("Sub")
        ),
        helper.make_node("Neg", ["b"], ["y"], name="neg"),
    ]
    big = np.random.default_rng(0).standard_normal((1, 300)).astype(np.float32)
    graph = imported(nodes, {"x": [1, 300]}, {"y": [1, 300]}, {"big": big})
    # The crop of `a` takes its name: the branches must read the whole of it under another.
    wanted = {"y": Region((0, 100), (1, 200)), "a": Region((0, 0), (1, 10))}
    shard = _build(graph, tmp_path, wanted)
    session = ort.InferenceSession(tmp_path / shard.files[0][0])
    whole = ort.InferenceSession(graph.path)
    for x in (np.ones((1, 300), np.float32), np.full((1, 300), -1, np.float32)):
        (right,) = whole.run(None, {"x": x})
        found, cropped = session.run(["y", "a"], {"x": x})
        np.testing.assert_array_equal(found, right[:, 100:200])
        np.testing.assert_array_equal(cropped, np.maximum(x, 0)[:, :10])
