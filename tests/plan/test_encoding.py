"""Which values travel encoded, in how many bytes, and which never do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import allocate, branches, perceptron, residual, split, whole

from edgesplit.cost.chain import Chain
from edgesplit.dataflow.table import GATEWAY, TaskTable
from edgesplit.graph.model import Encoding, Graph
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.encoding import encodings_of, rounded_values
from edgesplit.plan.lower import Lowered, lower
from edgesplit.plan.predict import predict
from edgesplit.plan.shard import ShardSpec

FLOAT16, UINT8 = Encoding("float16"), Encoding("uint8", 0.5, 3)


def encoding_all(graph: Graph, encoding: Encoding) -> Graph:
    """Every activation but the request and the answer has the encoding."""
    outside = {port.name for port in (*graph.inputs, *graph.outputs)}
    values = {
        name: value if value.constant or name in outside else replace(value, encoding=encoding)
        for name, value in graph.values.items()
    }
    return replace(graph, values=values)


def between_devices(table: TaskTable) -> int:
    """Bytes that cross from one device to another for a request."""
    return sum(
        flow.nbytes
        for flow in table.flows
        for receiver in flow.receivers
        if receiver not in flow.senders and GATEWAY not in (*flow.senders, receiver)
    )


@pytest.mark.parametrize(("encoding", "ratio"), [(FLOAT16, 2), (UINT8, 4)])
def test_bytes_between_devices_are_those_of_the_encoding(encoding: Encoding, ratio: int) -> None:
    graph = residual()
    allocation = allocate(
        graph,
        split("a", ("pi1", 0, 3), ("pi2", 3, 8)),
        whole("pi3", "b"),
        whole("pi1", "c", "d"),
    )
    full = lower(graph, allocation).table
    short = lower(encoding_all(graph, encoding), allocation).table
    assert between_devices(full) > 0
    assert between_devices(full) == ratio * between_devices(short)
    kept = [(f.dtype, f.nbytes) for f in full.flows if GATEWAY in (*f.senders, *f.receivers)]
    assert kept == [
        (f.dtype, f.nbytes) for f in short.flows if GATEWAY in (*f.senders, *f.receivers)
    ]
    assert TaskTable.from_json(short.to_json()) == short


def test_predicted_transfer_follows_the_encoding() -> None:
    graph = perceptron(4096, 10, columns=4096)
    allocation = allocate(graph, whole("pi1", "fc1"), whole("pi2", "fc2"))
    full = predict(graph, allocation)
    short = predict(encoding_all(graph, FLOAT16), allocation)
    seconds = 4096 * 2 / allocation.cluster.devices[0].link.bandwidth
    assert full.devices[1].transfer - short.devices[1].transfer == pytest.approx(seconds)
    assert full.latency - short.latency == pytest.approx(seconds, rel=1e-6)


def test_what_procedure_1_believes_follows_the_encoding() -> None:
    graph = perceptron(4096, 10, columns=4096)
    full, short = Chain(graph), Chain(encoding_all(graph, UINT8))
    assert full.leaving[0][1].nbytes == 4 * short.leaving[0][1].nbytes
    assert full.arriving[0][1] == short.arriving[0][1]
    assert full.works == short.works


def test_coded_rows_travel_in_full() -> None:
    graph = encoding_all(perceptron(64, 32, 10), FLOAT16)
    coded = split("fc2", ("pi2", 0, 20), ("pi3", 20, 32), parity=("pi4",))
    lowered = lower(graph, allocate(graph, whole("pi1", "fc1"), coded, whole("pi5", "fc3")))
    assert rounded_values(lowered.table) == (("relu1.out", "float16"),)
    rows = [flow for flow in lowered.table.flows if flow.group >= 0]
    assert {flow.dtype for flow in rows} == {"float32"}
    assert orders(lowered)["fc2/p0"].encoded == ("relu1.out",)


def test_partial_sums_travel_in_full_and_what_they_add_up_to_encoded() -> None:
    graph = encoding_all(perceptron(64, 32, 10), UINT8)
    summed = Stage(
        "fc2",
        ("fc2",),
        "input",
        (Share("pi2", 0, 30), Share("pi3", 30, 64)),
        merge=(Share("pi2", 0, 16), Share("pi3", 16, 32)),
    )
    lowered = lower(graph, allocate(graph, whole("pi1", "fc1"), summed, whole("pi4", "fc3")))
    terms = {flow.dtype for flow in lowered.table.flows if flow.terms > 1}
    assert terms == {"float32"}
    assert rounded_values(lowered.table) == (("relu1.out", "uint8"), ("relu2.out", "uint8"))
    assert dict(orders(lowered)["fc2/m0"].encodings) == {"relu2.out": UINT8}


def test_a_task_that_only_adds_gets_a_shard_to_round_the_sum() -> None:
    graph = encoding_all(branches(), FLOAT16)
    shares = (Share("pi1", 0, 4), Share("pi2", 4, 8))
    summed = Stage("b", ("b",), "input", shares, merge=(Share("pi1", 0, 5), Share("pi2", 5, 8)))
    lowered = lower(graph, allocate(graph, whole("pi1", "a"), summed, whole("pi3", "c")))
    order = orders(lowered)["b/m0"]
    block = graph.values["b.out"].region.with_axis(1, 0, 5)
    assert (order.nodes, order.encoded) == ((), ())
    assert order.inputs == order.outputs == (("b.out", block),)
    assert order.encodings == (("b.out", FLOAT16),)


def test_what_stays_on_its_device_or_makes_the_answer_is_not_rounded() -> None:
    graph = encoding_all(perceptron(64, 32, 10), FLOAT16)
    alone = lower(graph, allocate(graph, whole("pi1", "fc1"), whole("pi1", "fc2", "fc3")))
    assert rounded_values(alone.table) == ()
    answer = encoding_all(perceptron(64, 32, head=True), FLOAT16)
    coded = split("fc2", ("pi2", 0, 20), ("pi3", 20, 32), parity=("pi4",))
    lowered = lower(answer, allocate(answer, whole("pi1", "fc1"), coded))
    assert [flow.dtype for flow in lowered.table.flows if GATEWAY in flow.receivers] == [
        "float32"
    ] * 3


def test_a_value_is_encoded_for_its_own_device_too() -> None:
    graph = encoding_all(residual(), UINT8)
    lowered = lower(
        graph, allocate(graph, whole("pi1", "a"), whole("pi2", "b"), whole("pi1", "c", "d"))
    )
    flows = [flow for flow in lowered.table.flows if flow.value == "relu_a.out"]
    assert {(flow.receivers, flow.dtype) for flow in flows} == {(("pi2", "pi1"), "uint8")}
    assert set(encodings_of(graph, lowered.table)) == {"relu_a.out", "relu_b.out"}


def test_without_encodings_nothing_changes() -> None:
    graph = residual()
    lowered = lower(graph, allocate(graph, whole("pi1", "a"), whole("pi2", "b", "c", "d")))
    assert rounded_values(lowered.table) == ()
    assert {flow.dtype for flow in lowered.table.flows} == {"float32"}
    assert all(not spec.encodings for spec in lowered.shards)


def orders(lowered: Lowered) -> dict[str, ShardSpec]:
    names = {task.id: task.name for task in lowered.table.tasks}
    return {names[spec.task]: spec for spec in lowered.shards}
