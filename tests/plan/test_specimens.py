"""Specimens: every operator that has a price is measured, whole and in parts, and each once."""

from __future__ import annotations

from collections import defaultdict
from math import prod
from pathlib import Path

import pytest
from small_models import Draft

from edgesplit.cost.kernel import anchors
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.graph.slicing import needs
from edgesplit.plan.specimens import Specimen, group_sizes, specimens, whole_model
from edgesplit.zoo import catalogue

ZOO = {
    "lenet5": {},
    "alexnet": {"width": 0.0625, "input": 67, "classes": 10},
    "vgg16": {"width": 0.0625, "input": 32, "classes": 10},
    "resnet50": {"width": 0.0625, "input": 64, "classes": 10},
    "xception": {"width": 0.0625, "input": 96, "classes": 10},
    "yolov2": {"width": 0.0625, "input": 64},
}


@pytest.fixture(scope="module", params=ZOO)
def graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    folder = tmp_path_factory.mktemp(request.param)
    return import_model(catalogue.build(request.param, ZOO[request.param], folder), folder / "imp")


def _whole_kernels(graph: Graph) -> set[tuple[str, int]]:
    """Return operator and output size of all anchors."""
    return {
        (node.op, sum(graph.values[name].region.size for name in node.outputs if name))
        for node in map(graph.node, anchors(graph))
    }


def test_every_anchor_is_measured_whole_and_each_kernel_once(graph: Graph) -> None:
    found = specimens(graph, group_sizes(4))
    kernels = [kernel for one in found for kernel in one.kernels]
    assert len(set(kernels)) == len(kernels)
    assert {(k.op, k.size) for k in kernels} >= _whole_kernels(graph)
    assert not specimens(graph, group_sizes(4), set(kernels))


def test_specimens_are_given_what_they_read(graph: Graph) -> None:
    for one in specimens(graph, group_sizes(6)):
        nodes = [graph.node(name) for name in one.spec.nodes]
        boxes = needs(graph, nodes, one.spec.wanted, one.spec.partial)
        given = dict(one.spec.inputs)
        made = {name for node in nodes for name in node.outputs}
        outside = {n: b for n, b in boxes.items() if n not in made and not graph.values[n].constant}
        assert given == outside
        assert sum(node.name in anchors(graph) for node in nodes) == 1


def test_convolutions_are_measured_in_strips_of_their_form(graph: Graph) -> None:
    sizes: defaultdict[str, set[int]] = defaultdict(set)
    for one in specimens(graph, group_sizes(4)):
        (kernel,) = one.kernels
        sizes[kernel.form].add(kernel.size)
    heavy = [graph.node(name) for name in graph.heavy]
    shapes = [graph.values[node.outputs[0]].shape for node in heavy if node.op == "Conv"]
    wholes = [prod(shape) for shape in shapes if shape[2] >= 4]
    assert wholes
    assert all(
        any(whole in found and len(found) >= 4 for found in sizes.values()) for whole in wholes
    )


def test_a_halo_is_part_of_a_strip(tmp_path: Path) -> None:
    graph = _convolution(tmp_path)
    strip = next(one for one in specimens(graph, (4,)) if _rows(one) == (4, 4))
    ((_, box),) = strip.spec.inputs
    assert box.shape == (1, 2, 6, 16)
    (kernel,) = strip.kernels
    assert kernel.macs == 4 * 16 * 3 * 2 * 9


def test_what_is_done_in_passing_comes_along(tmp_path: Path) -> None:
    assert all(len(one.spec.nodes) == 2 for one in specimens(_convolution(tmp_path), (2,)))


def test_a_matrix_is_measured_in_blocks_of_rows_and_of_columns(tmp_path: Path) -> None:
    draft = Draft((1, 32))
    draft.add("Gemm", draft.weight(64, 32), transB=1)
    every = specimens(draft.imported(tmp_path), (2, 4))
    found = [kernel for one in every for kernel in one.kernels]
    assert {(k.size, k.macs) for k in found} == {
        (64, 2048.0),
        (32, 1024.0),
        (16, 512.0),
        (64, 1024.0),
        (64, 512.0),
    }


def test_a_value_that_cannot_travel_is_in_no_specimen(tmp_path: Path) -> None:
    draft = Draft((1, 8))
    draft.add("NonZero")
    draft.add("ReduceSum", keepdims=0)
    graph = draft.imported(tmp_path)
    portable = {name for name, value in graph.values.items() if value.portable}
    assert len(portable) < len(graph.values)
    for one in specimens(graph, (2,)):
        assert {name for name, _ in (*one.spec.inputs, *one.spec.outputs)} <= portable


def test_the_whole_model_is_one_specimen(graph: Graph) -> None:
    one = whole_model(graph)
    assert not one.kernels
    assert len(one.spec.nodes) == len(graph.nodes)


@pytest.mark.parametrize(("devices", "sizes"), [(1, ()), (2, (2,)), (5, (2, 3, 4, 5))])
def test_groups_are_no_larger_than_the_cluster(devices: int, sizes: tuple[int, ...]) -> None:
    assert group_sizes(devices) == sizes


def _convolution(folder: Path) -> Graph:
    draft = Draft((1, 2, 16, 16))
    draft.add("Conv", draft.weight(3, 2, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    draft.add("Relu")
    return draft.imported(folder)


def _rows(one: Specimen) -> tuple[int, int]:
    ((_, box),) = one.spec.outputs
    return box.shape[2] if box.shape[3] == 16 else 0, box.shape[2]
