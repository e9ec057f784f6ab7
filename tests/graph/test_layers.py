from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import Draft, same_as_whole

from edgesplit.dataflow.region import Region
from edgesplit.graph.following import follows_channels, in_blocks, in_tiles, leaving
from edgesplit.graph.model import Graph
from edgesplit.graph.slicing import (
    closure,
    constant_bytes,
    localise,
    macs,
    needs,
    useful,
)


@pytest.fixture
def residual(tmp_path: Path) -> Graph:
    """A residual block: a stem, two convs with a skip and a projection beside them, a head."""
    m = Draft((1, 3, 12, 12))
    m.add("Mul", m.weight(1), name="scale")
    m.add("Conv", m.weight(8, 3, 3, 3), pads=[1] * 4, kernel_shape=[3, 3], name="stem")
    stem = m.add("Relu", name="stem_relu")
    m.add("Conv", m.weight(16, 8, 3, 3), pads=[1] * 4, kernel_shape=[3, 3], name="a")
    m.add("Relu", name="a_relu")
    long = m.add("Conv", m.weight(16, 16, 3, 3), pads=[1] * 4, kernel_shape=[3, 3], name="b")
    short = m.add(
        "Conv", inputs=[stem, m.weight(16, 8, 1, 1)], kernel_shape=[1, 1], name="shortcut"
    )
    m.add("Mul", inputs=[long, short], name="join")
    m.add("Relu", name="join_relu")
    m.add("GlobalAveragePool", name="gap")
    m.add("Flatten", name="flat")
    m.add("Gemm", m.weight(10, 16), m.weight(10), transB=1, name="fc")
    m.add("Softmax", name="probability")
    return m.imported(tmp_path)


def test_layers_hold_every_node_once_in_topological_order(residual: Graph) -> None:
    order = [node.name for layer in residual.layers for node in layer.nodes]
    assert sorted(order) == sorted(node.name for node in residual.nodes)
    assert len(set(order)) == len(order)
    made = {port.name for port in residual.inputs}
    made |= {name for name, value in residual.values.items() if value.constant}
    for layer in residual.layers:
        for node in layer.nodes:
            assert made.issuperset(node.reads)
            made.update(node.outputs)


def test_each_layer_is_a_heavy_operator_with_the_light_ones_after_it(residual: Graph) -> None:
    found = {layer.name: [node.name for node in layer.nodes] for layer in residual.layers}
    assert found["stem"] == ["scale", "stem", "stem_relu"]
    assert found["a"] == ["a", "a_relu"]
    assert found["fc"] == ["fc", "probability"]
    assert {"stem", "a", "b", "shortcut", "fc"} == set(found)


def test_macs_and_weights_of_layers(residual: Graph) -> None:
    layer = residual.layer("a")
    assert layer.macs == 16 * 12 * 12 * 8 * 9
    assert layer.weight_bytes == 16 * 8 * 9 * 4
    assert residual.layer("fc").macs == 160
    assert residual.layer("fc").weight_bytes == 170 * 4


def test_a_graph_without_heavy_operators_is_one_layer(tmp_path: Path) -> None:
    model = Draft((1, 4))
    model.add("Relu", name="first")
    model.add("Sin")
    (layer,) = model.imported(tmp_path).layers
    assert (layer.heavy, layer.name, len(layer.nodes)) == (None, "first", 2)


def test_no_layer_ends_where_a_shape_depends_on_data(tmp_path: Path) -> None:
    model = Draft((3, 4))
    model.add("MatMul", model.weight(4, 4), name="fc1")
    model.add("Cast", to=TensorProto.BOOL)
    model.add("NonZero")
    model.add("Cast", to=TensorProto.FLOAT)
    model.add("MatMul", inputs=[model.constant(np.ones((3, 2), np.float32)), model.at], name="fc2")
    model.add("ReduceSum", keepdims=0)
    model.add("Mul", model.weight(2, 2))
    model.add("MatMul", model.weight(2, 2), name="fc3")
    graph = model.imported(tmp_path)
    assert [layer.name for layer in graph.layers] == ["fc1", "fc3"]


def test_closure_stops_at_what_is_published(residual: Graph) -> None:
    stem = residual.layer("stem").nodes[-1].outputs[0]
    names = {node.name for node in closure(residual, [residual.outputs[0].name], {stem})}
    assert "stem" not in names
    assert {"a", "b", "shortcut", "fc", "probability"} <= names
    everything = closure(residual, [residual.outputs[0].name], ())
    assert [node.name for node in everything] == [node.name for node in residual.nodes]
    assert closure(residual, [stem], {stem}) == ()


def test_needs_of_a_skip_is_the_hull_of_both_ways(residual: Graph) -> None:
    stem = residual.layer("stem").nodes[-1].outputs[0]
    joined = next(node for node in residual.nodes if node.name == "join_relu").outputs[0]
    nodes = closure(residual, [joined], {stem})
    boxes = needs(residual, nodes, {joined: Region((0, 0, 4, 0), (1, 16, 6, 12))})
    assert boxes[stem] == Region((0, 0, 2, 0), (1, 8, 8, 12))


def test_splitting_a_conv_slices_its_weights(residual: Graph) -> None:
    node = next(node for node in residual.nodes if node.name == "a")
    block = Region((0, 4, 0, 0), (1, 8, 12, 12))
    boxes = needs(residual, [node], {node.outputs[0]: block})
    assert constant_bytes(residual, boxes) == 4 * 8 * 9 * 4
    assert macs(residual, node, block) == residual.layer("a").macs // 4


def ends(graph: Graph, layer: str) -> set[str]:
    """Return the operators behind which a split of this layer's channels must be merged."""
    nodes, heads = graph.layer(layer).nodes, [graph.layer(layer).heavy]
    carried = in_blocks(graph, nodes, [node for node in nodes if node in heads])
    return {graph.producer[value].name for value in leaving(graph, carried)}


def test_where_blocks_of_channels_must_be_merged(residual: Graph) -> None:
    assert ends(residual, "stem") == {"stem_relu"}
    assert ends(residual, "a") == {"a_relu"}
    assert ends(residual, "fc") == {"fc"}  # Softmax sums over the channels.
    assert ends(residual, residual.layers[-2].name) == {"gap"}  # Never beyond a Flatten.


def test_blocks_go_on_beside_another_value_in_the_same_blocks(tmp_path: Path) -> None:
    m = Draft((1, 3, 4, 4))
    side = m.add("Sin", name="side")
    m.add("Conv", inputs=["x", m.weight(3, 3, 1, 1)], kernel_shape=[1, 1], name="conv")
    m.add("Add", side, name="add")
    graph = m.imported(tmp_path)
    assert ends(graph, "conv") == {"add"}


def test_an_output_of_the_model_leaves_and_blocks_go_on(tmp_path: Path) -> None:
    m = Draft((1, 3, 4, 4))
    first = m.add("Conv", m.weight(3, 3, 1, 1), kernel_shape=[1, 1], name="conv")
    last = m.add("Relu", name="relu")
    graph = m.imported(tmp_path, first, last)
    assert ends(graph, "conv") == {"conv", "relu"}


def test_what_is_behind_a_merge_does_not_go_on(tmp_path: Path) -> None:
    m = Draft((1, 3, 4, 4))
    m.add("Conv", m.weight(3, 3, 1, 1), kernel_shape=[1, 1], name="conv")
    m.add("LRN", size=3, name="lrn")
    m.add("Relu", name="relu")
    graph = m.imported(tmp_path)
    assert ends(graph, "conv") == {"conv"}


def test_a_depthwise_convolution_goes_on_in_blocks(tmp_path: Path) -> None:
    m = Draft((1, 3, 6, 6))
    m.add("Conv", m.weight(4, 3, 1, 1), kernel_shape=[1, 1], name="conv")
    m.add("Conv", m.weight(4, 1, 3, 3), kernel_shape=[3, 3], group=4, name="deep")
    graph = m.imported(tmp_path)
    carried = in_blocks(graph, graph.nodes, [graph.nodes[0]])
    assert [node.name for node in carried] == ["conv", "deep"]


def test_which_operators_go_on_in_tiles(tmp_path: Path) -> None:
    m = Draft((1, 3, 9, 9))
    m.add("Conv", m.weight(4, 3, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1], name="conv")
    m.add("LRN", size=3, name="lrn")
    m.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, name="pool")
    m.add("Softmax", axis=1, name="channels")
    m.add("GlobalAveragePool", name="gap")
    m.add("Flatten", name="flatten")
    graph = m.imported(tmp_path)
    carried = [node.name for node in in_tiles(graph, graph.nodes, (2, 3))]
    assert carried == ["conv", "lrn", "pool", "channels"]


@pytest.mark.parametrize(
    ("op", "attributes", "follows"),
    [
        ("MaxPool", {"kernel_shape": [2, 2]}, True),
        ("LRN", {"size": 3}, False),
        ("Softmax", {"axis": 1}, False),
        ("Softmax", {"axis": 3}, True),
        ("Transpose", {"perm": [0, 2, 1, 3]}, False),
        ("Det", {}, False),
    ],
)
def test_which_operators_follow_channels(
    op: str, attributes: dict[str, Any], follows: bool, tmp_path: Path
) -> None:
    model = Draft((1, 5, 5, 5))
    model.add(op, **attributes)
    graph = model.imported(tmp_path)
    assert follows_channels(graph, graph.nodes[0], "x") is follows


def test_a_concat_reads_only_the_branches_that_are_wanted(tmp_path: Path) -> None:
    m = Draft((1, 2, 3, 3))
    left, right = m.add("Relu", name="left"), m.add("Sin", inputs=["x"], name="right")
    out = m.add("Concat", inputs=[left, right], axis=1, name="both")
    graph = m.imported(tmp_path)
    boxes = needs(graph, graph.nodes, {out: Region((0, 2, 0, 0), (1, 4, 1, 3))})
    assert [node.name for node in useful(graph.nodes, boxes)] == ["right", "both"]
    assert boxes[right] == Region((0, 0, 0, 0), (1, 2, 1, 3))
    unneeded = next(node for node in graph.nodes if node.name == "left")
    with pytest.raises(ValueError, match="left out"):
        localise(graph, unneeded, boxes, {"x": graph.values["x"].region})


def test_localise_says_what_is_missing(residual: Graph) -> None:
    node = next(node for node in residual.nodes if node.name == "a_relu")
    region = residual.values[node.outputs[0]].region
    with pytest.raises(ValueError, match="available is nothing"):
        localise(residual, node, {node.outputs[0]: region}, {})


def test_subgraphs_depend_on_what_they_capture(tmp_path: Path) -> None:
    model = Draft((1, 4))
    caught = model.add("Relu", name="caught")
    branch = helper.make_graph(
        [helper.make_node("Add", [caught, caught], ["double"])],
        "b",
        [],
        [helper.make_tensor_value_info("double", TensorProto.FLOAT, [1, 4])],
    )
    flag = model.add("ReduceSum", inputs=["x"], keepdims=0)
    flag = model.add("Cast", inputs=[flag], to=TensorProto.BOOL)
    model.nodes.append(
        helper.make_node("If", [flag], ["y"], "choice", then_branch=branch, else_branch=branch)
    )
    model.at = "y"
    graph = model.imported(tmp_path)
    choice = next(node for node in graph.nodes if node.op == "If")
    assert choice.opaque
    assert caught in choice.captures
    assert "caught" in {node.name for node in closure(graph, ["y"], ())}
    same_as_whole(graph, {"x": model.x()}, Region((0, 1), (1, 3)))


def test_tiles_go_on_through_pads_splits_and_what_stretches_the_map(tmp_path: Path) -> None:
    m = Draft((1, 4, 12, 12))
    m.add("Pad", m.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="edge", name="pad")
    m.add("Conv", m.weight(6, 4, 3, 3), kernel_shape=[3, 3], name="conv")
    parts = m.constant(np.array([2, 4]))
    m.nodes.append(helper.make_node("Split", [m.at, parts], ["a", "b"], "split", axis=1))
    double = m.constant(np.array([1, 1, 2, 2], np.float32))
    near = m.add("Resize", inputs=["a", "", double], mode="linear", name="stretch")
    m.add("ConvTranspose", inputs=["b", m.weight(4, 2, 2, 2)], strides=[2, 2], name="up")
    m.add("Concat", inputs=[near, m.at], axis=1, name="join")
    m.add("ReduceMean", axes=[2, 3], name="mean")
    graph = m.imported(tmp_path)
    carried = [node.name for node in in_tiles(graph, graph.nodes, (2, 3))]
    assert set(carried) == {"pad", "conv", "split", "stretch", "up", "join"}
    same_as_whole(graph, {"x": m.x()}, Region((0, 1, 0, 0), (1, 3, 1, 1)))
