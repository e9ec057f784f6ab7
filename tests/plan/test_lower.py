"""Lowering: from stages to a dataflow in which nothing is missing and nothing is idle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

import pytest
from hand_made import allocate, branches, perceptron, residual, split, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import alexnet

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import GATEWAY, Group, Task, TaskTable
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.coverage import survives
from edgesplit.plan.lower import Lowered, lower


def rows(task: Task) -> set[int]:
    """Flows that a task's inputs are formed from."""
    groups = chain.from_iterable(need.groups for need in task.inputs)
    return set(chain.from_iterable(chain.from_iterable(group.rows) for group in groups))


def assert_consistent(graph: Graph, lowered: Lowered) -> None:
    table = lowered.table
    assert [flow.id for flow in table.flows] == list(range(len(table.flows)))
    assert [task.id for task in table.tasks] == list(range(len(table.tasks)))
    assert table.source.device == table.sink.device == GATEWAY
    assert not table.source.inputs
    assert not table.sink.outputs
    assert_flows_meet(table)
    for task in table.tasks:
        for need in task.inputs:
            assert_covered(need.region, need.groups)
    assert_orders_match(graph, lowered)
    assert survives(table, frozenset())


def assert_flows_meet(table: TaskTable) -> None:
    """Every flow is made once, by its sender, in its shape, for exactly those who read it."""
    made = [output.flow for task in table.tasks for output in task.outputs]
    assert sorted(made) == list(range(len(table.flows)))
    readers: dict[int, set[str]] = {flow.id: set() for flow in table.flows}
    for task in table.tasks:
        for output in task.outputs:
            assert table.flows[output.flow].senders == (task.device,)
            assert output.source.shape == table.flows[output.flow].region.shape
        for flow in rows(task):
            readers[flow].add(task.device)
    for sent in table.flows:
        assert set(sent.receivers) == readers[sent.id]
        assert sent.receivers, f"{sent.value} is sent to nobody"


def assert_covered(region: Region, groups: tuple[Group, ...]) -> None:
    """The blocks of an input's groups tile it."""
    whole = Region.full(region.shape)
    targets = [block.target for group in groups for block in group.blocks]
    assert all(whole.contains(target) for target in targets)
    assert sum(target.size for target in targets) == whole.size
    apart = (a.intersect(b) for i, a in enumerate(targets) for b in targets[:i])
    assert not any(apart)


def assert_orders_match(graph: Graph, lowered: Lowered) -> None:
    """Each task with nodes has one order, which takes its inputs and makes its outputs."""
    for spec in lowered.shards:
        task = lowered.table.tasks[spec.task]
        assert dict(spec.inputs) == {need.value: need.region for need in task.inputs}
        boxes = dict(spec.outputs)
        for output in task.outputs:
            assert Region.full(boxes[output.name].shape).contains(output.source)
    ran = {name for spec in lowered.shards for name in spec.nodes}
    assert ran == {node.name for node in graph.nodes}


def lowered(graph: Graph, *stages: Stage) -> Lowered:
    found = lower(graph, allocate(graph, *stages))
    assert_consistent(graph, found)
    return found


def test_one_device_takes_the_request_and_makes_the_answer() -> None:
    table = lowered(perceptron(8, 4), whole("pi1", "fc1", "fc2")).table
    assert [(flow.senders, flow.receivers) for flow in table.flows] == [
        ((GATEWAY,), ("pi1",)),
        (("pi1",), (GATEWAY,)),
    ]


def test_an_uncoded_split_ends_after_the_activation() -> None:
    graph = perceptron(8, 4)
    stages = split("fc1", ("pi1", 0, 3), ("pi2", 3, 8)), whole("pi3", "fc2")
    found = lowered(graph, *stages)
    assert [spec.nodes for spec in found.shards] == [("fc1", "relu1"), ("fc1", "relu1"), ("fc2",)]
    groups = found.table.tasks[3].inputs[0].groups
    assert [group.k for group in groups] == [1, 1]


def test_a_coded_split_ends_before_the_activation_which_its_consumer_runs() -> None:
    graph = perceptron(8, 4)
    stages = split("fc1", ("pi1", 0, 3), ("pi2", 3, 8), parity=("pi3",)), whole("pi4", "fc2")
    found = lowered(graph, *stages)
    assert [spec.nodes for spec in found.shards] == [("fc1",)] * 3 + [("relu1", "fc2")]
    (group,) = found.table.tasks[4].inputs[0].groups
    assert (group.k, len(group.rows), group.parity) == (2, 3, ((1.0, 1.0),))
    sizes = [found.table.flows[flow].region.shape for (flow,) in group.rows]
    assert sizes == [(1, 3), (1, 5), (1, 5)], "parity is as long as the longest block"
    code = found.shards[2].code
    assert code is not None
    assert code.blocks == ((0, 3), (3, 8))


def test_a_coded_last_layer_leaves_a_head_to_the_gateway() -> None:
    found = lowered(
        perceptron(8, 4, head=True),
        whole("pi1", "fc1"),
        split("fc2", ("pi2", 0, 2), ("pi3", 2, 4), parity=("pi4",)),
    )
    head = found.shards[-1]
    assert head.task == found.table.sink.id
    assert head.nodes == ("relu2",)
    assert found.table.sink.device == GATEWAY


def test_an_uncoded_last_layer_leaves_nothing_to_do() -> None:
    found = lowered(
        perceptron(8, 4), whole("pi1", "fc1"), split("fc2", ("pi2", 0, 1), ("pi3", 1, 4))
    )
    assert all(spec.task != found.table.sink.id for spec in found.shards)


def test_two_coded_layers_in_a_row_send_every_row_to_every_device() -> None:
    found = lowered(
        perceptron(8, 6, 4),
        split("fc1", ("pi1", 0, 4), ("pi2", 4, 8), parity=("pi3",)),
        split("fc2", ("pi4", 0, 3), ("pi5", 3, 6), parity=("pi6",)),
        whole("pi7", "fc3"),
    )
    for flow in found.table.flows:
        if set(flow.senders) <= {"pi1", "pi2", "pi3"}:
            assert flow.receivers == ("pi4", "pi5", "pi6")


def test_a_coded_layer_with_two_consumers_is_decoded_by_each() -> None:
    found = lowered(
        branches(),
        split("a", ("pi1", 0, 4), ("pi2", 4, 8), parity=("pi3",)),
        whole("pi4", "b"),
        whole("pi5", "c"),
    )
    coded = [flow for flow in found.table.flows if flow.group >= 0]
    assert [flow.receivers for flow in coded] == [("pi4", "pi5")] * 3
    assert len({flow.group for flow in coded}) == 1
    assert sum("relu_a" in spec.nodes for spec in found.shards) == 2, "each runs the activation"


def test_a_skip_connection_travels_past_the_stage_between() -> None:
    b = split("b", ("pi2", 0, 3), ("pi3", 3, 8))
    table = lowered(residual(), whole("pi1", "a"), b, whole("pi4", "c", "d")).table
    sent = [flow.receivers for flow in table.flows if flow.senders == ("pi1",)]
    assert sent == [("pi2", "pi3", "pi4")]


def test_the_blocks_of_an_uncoded_layer_add_their_part_of_the_skip() -> None:
    c = split("c", ("pi2", 0, 3), ("pi3", 3, 8))
    found = lowered(residual(), whole("pi1", "a", "b"), c, whole("pi4", "d"))
    assert [spec.nodes for spec in found.shards[1:]] == [
        ("c", "sum", "relu_c"),
        ("c", "sum", "relu_c"),
        ("flatten", "d"),
    ]
    boxes = [dict(spec.inputs)["relu_a.out"] for spec in found.shards[1:3]]
    assert [(box.lo[1], box.hi[1]) for box in boxes] == [(0, 3), (3, 8)]


def test_the_consumer_of_a_coded_layer_adds_the_skip() -> None:
    c = split("c", ("pi2", 0, 3), ("pi3", 3, 8), parity=("pi4",))
    found = lowered(residual(), whole("pi1", "a", "b"), c, whole("pi5", "d"))
    assert found.shards[-1].nodes == ("sum", "relu_c", "flatten", "d")
    skip = [flow for flow in found.table.flows if flow.value == "relu_a.out"]
    assert [flow.receivers for flow in skip] == [("pi5",)]


def test_the_same_allocation_has_the_same_digest() -> None:
    graph = alexnet()
    layers = tuple(layer.name for layer in graph.layers)
    stages = (
        whole("pi1", *layers[:5]),
        split("fc6", ("pi2", 0, 2048), ("pi3", 2048, 4096), parity=("pi4",)),
        whole("pi5", "fc7", "fc8"),
    )
    first, again = lowered(graph, *stages), lowered(alexnet(), *stages)
    assert first == again
    assert TaskTable.from_json(first.table.to_json()).digest == again.table.digest


@st.composite
def allocations(draw: st.DrawFn) -> tuple[Graph, Allocation]:
    graph = draw(st.sampled_from([perceptron(9, 5, 7, 3), residual(), branches()]))
    names = [layer.name for layer in graph.layers]
    stages: list[Stage] = []
    devices = iter([f"pi{n}" for n in range(1, 99)])
    while names:
        if draw(st.booleans()):
            stages.append(_drawn_split(draw, graph, names.pop(0), devices))
        else:
            count = draw(st.integers(1, len(names)))
            stages.append(whole(next(devices), *names[:count]))
            del names[:count]
    return graph, allocate(graph, *stages)


def _drawn_split(draw: st.DrawFn, graph: Graph, layer: str, devices: Iterator[str]) -> Stage:
    heavy = graph.layer(layer).heavy
    assert heavy is not None
    channels = graph.values[heavy.outputs[0]].shape[1]
    inner = draw(st.sets(st.integers(1, channels - 1), min_size=1, max_size=min(3, channels - 1)))
    edges = [0, *sorted(inner), channels]
    shares = [(next(devices), lo, hi) for lo, hi in pairwise(edges)]
    parity = tuple(next(devices) for _ in range(draw(st.integers(0, 2))))
    return split(layer, *shares, parity=parity)


@settings(max_examples=150, deadline=None)
@given(allocations())
def test_every_allocation_lowers_to_a_consistent_dataflow(case: tuple[Graph, Allocation]) -> None:
    graph, allocation = case
    found = lower(graph, allocation)
    assert_consistent(graph, found)
    for stage in allocation.stages:
        for name in stage.devices if stage.parity else ():
            assert survives(found.table, frozenset({name}))
        for name in () if stage.parity else stage.devices:
            assert not survives(found.table, frozenset({name}))


@pytest.mark.parametrize("window", [1, 8])
def test_the_window_is_the_models(window: int) -> None:
    graph = perceptron(8, 4)
    found = lower(graph, allocate(graph, whole("pi1", "fc1", "fc2"), window=window))
    assert found.table.window == window


def test_a_sum_of_one_term_has_nothing_to_merge() -> None:
    graph = perceptron(8, 6, 4)
    merge = (Share("pi2", 0, 3), Share("pi3", 3, 6))
    one = Stage("fc1", ("fc1",), "input", (Share("pi1", 0, 8),), merge=merge)
    found = lower(graph, allocate(graph, one, whole("pi4", "fc2")))
    assert [task.name for task in found.table.tasks] == ["request", "fc1/0", "fc2", "answer"]
