"""Probes at import: what ONNX Runtime computes otherwise in tiles runs whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from comparing import compare
from small_models import Draft, same_as_whole

from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.probing import marked
from edgesplit.graph.subjects import subject_of
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.publishing import map_shape
from edgesplit.spec.cluster import Cluster, Link
from edgesplit.spec.model import ModelSpec, Source


@pytest.fixture
def chain(tmp_path: Path) -> Graph:
    model = Draft((1, 6, 16, 16))
    model.add("Conv", model.weight(8, 6, 3, 3), kernel_shape=[3, 3], pads=[1] * 4, name="first")
    model.add("Relu")
    model.add("Conv", model.weight(8, 8, 3, 3), kernel_shape=[3, 3], pads=[1] * 4, name="second")
    model.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], name="pool")
    return model.imported(tmp_path)


def shifted(graph: Graph, node: Node, out: Mapping[str, Region]) -> ops.Step:
    """A rule gone wrong: a pool that reads from the map's corner wherever its tile lies."""
    step = ops.step(graph, node, out)
    if node.op != "MaxPool" or step.reads[0] is None:
        return step
    box = step.reads[0]
    return replace(step, reads=(box.with_axis(2, 0, box.hi[2] - box.lo[2]),))


def hasty(graph: Graph, node: Node, out: Mapping[str, Region]) -> ops.Step:
    """A rule that says it makes more of a convolution than it does."""
    step = ops.step(graph, node, out)
    whole = graph.values[node.outputs[0]].region
    return replace(step, produced={node.outputs[0]: whole}) if node.op == "Conv" else step


@pytest.mark.parametrize(("step", "wrong"), [(shifted, "MaxPool"), (hasty, "Conv")])
def test_a_wrong_rule_is_found(step: Any, wrong: str, chain: Graph) -> None:  # noqa: ANN401 - a rule
    nodes = marked(chain.nodes, chain.values, chain.opset, {}, step)
    assert {node.op for node in nodes if node.whole} == {wrong}


def test_right_rules_are_relied_on(chain: Graph) -> None:
    assert not any(node.whole for node in chain.nodes)


def test_what_was_found_is_asked_once(chain: Graph) -> None:
    verdicts: dict[str, bool] = {}
    first = marked(chain.nodes, chain.values, chain.opset, verdicts, shifted)
    assert marked(chain.nodes, chain.values, chain.opset, verdicts) == first


def test_found_is_shared_by_models_through_the_cache(tmp_path: Path) -> None:
    model = Draft((1, 3, 9, 9))
    model.add("Conv", model.weight(4, 3, 3, 3), kernel_shape=[3, 3])
    graph = model.imported(tmp_path)
    (file,) = (tmp_path / "cache").glob("probes-*.json")
    key = subject_of(graph.nodes[0], graph.values, graph.opset).key
    assert json.loads(file.read_text()) == {key: True}
    file.write_text(json.dumps({key: False}))
    model.add("Relu")
    assert [node.whole for node in model.imported(tmp_path).nodes] == [True, False]


def test_a_broken_file_of_verdicts_is_made_again(tmp_path: Path) -> None:
    model = Draft((1, 3, 9, 9))
    model.add("Sin")
    model.imported(tmp_path)
    (file,) = (tmp_path / "cache").glob("probes-*.json")
    file.write_text("{")
    model.add("Cos")
    assert not any(node.whole for node in model.imported(tmp_path).nodes)
    assert list(json.loads(file.read_text()).values()) == [True, True]


def test_channels_and_weights_make_no_new_subject(chain: Graph) -> None:
    first, second = (chain.node(name) for name in ("first", "second"))
    keys = {subject_of(node, chain.values, chain.opset).key for node in (first, second)}
    assert len(keys) == 1
    wider = replace(first, attributes={**first.attributes, "pads": (0, 1, 0, 1)})
    assert subject_of(wider, chain.values, chain.opset).key not in keys


def test_a_node_that_runs_whole_is_split_by_nobody(chain: Graph) -> None:
    node = replace(chain.node("first"), whole=True)
    made = chain.values[node.outputs[0]]
    step = ops.step(chain, node, {made.name: made.region.with_axis(1, 0, 2)})
    assert step.produced == {made.name: made.region}
    assert ops.reduces(chain, node) is None


QUIRKS: dict[str, dict[str, Any]] = {
    "average over a ceiled edge": {"op": "AveragePool", "ceil_mode": 1, "count_include_pad": 1},
    "dilated under automatic pads": {
        "op": "MaxPool",
        "dilations": [2, 2],
        "auto_pad": "SAME_LOWER",
        "strides": [1, 1],
    },
    "dilated and ceiled": {"op": "MaxPool", "dilations": [2, 1], "ceil_mode": 1},
}


def in_strips(graph: Graph, layer: str) -> Allocation:
    """Three unequal strips of the map that can run in tiles."""
    draft = Stage(layer, (layer,), "spatial", (Share("d0", tile=((0, 1), (0, 1))),))
    height, width = map_shape(graph, draft)
    cuts = pairwise([0, height // 4, height // 4 + 1, height])
    shares = tuple(Share(f"d{i}", tile=(cut, (0, width))) for i, cut in enumerate(cuts))
    stage = replace(draft, shares=shares)
    return Allocation(Cluster("t", (), Link(1e9, 0.0)), ModelSpec(Source()), graph.digest, (stage,))


@pytest.mark.parametrize("quirk", QUIRKS)
def test_quirks_of_pools_are_right_from_end_to_end(quirk: str, tmp_path: Path) -> None:
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], **QUIRKS[quirk]}
    model = Draft((1, 4, 14, 13))
    model.add("Conv", model.weight(5, 4, 3, 3), kernel_shape=[3, 3], pads=[1] * 4, name="conv")
    model.add(attributes.pop("op"), **attributes)
    graph = model.imported(tmp_path)
    compare(graph, in_strips(graph, "conv"), tmp_path / "shards")


def test_pads_beyond_the_kernel_are_right_from_end_to_end(tmp_path: Path) -> None:
    """A tile wholly in the pads has no window with an element: it is cut out of the whole."""
    model = Draft((1, 4, 9, 9))
    model.add("Conv", model.weight(5, 4, 2, 3), kernel_shape=[2, 3], pads=[3, 1, 4, 2])
    model.add("Relu")
    graph = model.imported(tmp_path)
    bottom, right = graph.outputs[0].shape[2:]
    corner = Region((0, 0, 0, 0), (1, 5, 1, 1))
    same_as_whole(graph, {"x": model.x()}, corner, Region((0, 0, 1, 3), (1, 5, bottom, right)))
