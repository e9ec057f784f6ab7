"""Coverage on tables drawn by hand: what is survived, and why the rest isn't."""

from __future__ import annotations

import pytest
from plans import MIB, equal_cluster, spec

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import (
    GATEWAY,
    Flow,
    Group,
    Input,
    Output,
    Placement,
    Port,
    Task,
    TaskTable,
)
from edgesplit.graph.model import Graph
from edgesplit.plan.coverage import single_losses, survives, why_not
from edgesplit.plan.lower import lower
from edgesplit.plan.procedure1 import procedure1

BOX = Region((0, 0), (1, 4))


def flow(number: int, *senders: str) -> Flow:
    return Flow(number, f"v{number}", BOX, "float32", senders, ("anyone",))


def need(k: int, *rows: tuple[int, ...]) -> Input:
    group = Group(rows, (Placement(BOX, BOX),) * k)
    return Input("in", "in", BOX, "float32", (group,))


def task(number: int, device: str, inputs: tuple[Input, ...], *sends: int) -> Task:
    outputs = tuple(Output("out", sent, BOX) for sent in sends)
    return Task(number, f"t{number}", f"s{number}", device, inputs, outputs)


def table(flows: list[Flow], *tasks: Task) -> TaskTable:
    port = Port("in", (1, 4), "float32")
    return TaskTable(tuple(flows), tasks, (port,), (port,))


@pytest.fixture
def coded() -> TaskTable:
    """Two data rows on a and b and a parity row on c, merged on d."""
    request = need(1, (0,))
    return table(
        [flow(0, GATEWAY), flow(1, "a"), flow(2, "b"), flow(3, "c"), flow(4, "d")],
        task(0, GATEWAY, (), 0),
        task(1, "a", (request,), 1),
        task(2, "b", (request,), 2),
        task(3, "c", (request,), 3),
        task(4, "d", (need(2, (1,), (2,), (3,)),), 4),
        task(5, GATEWAY, (need(1, (4,)),)),
    )


def test_any_k_rows_are_enough(coded: TaskTable) -> None:
    assert single_losses(coded) == ("a", "b", "c")
    assert survives(coded, frozenset())
    assert not survives(coded, frozenset({"a", "b"}))
    assert not survives(coded, frozenset({"b", "c"}))


def test_the_reason_names_stage_and_device(coded: TaskTable) -> None:
    assert why_not(coded, "d") == "s4 runs only on d"
    assert why_not(coded, "a") == ""


def test_every_term_of_a_row_is_needed() -> None:
    partial = table(
        [flow(0, GATEWAY), flow(1, "a"), flow(2, "b")],
        task(0, GATEWAY, (), 0),
        task(1, "a", (need(1, (0,)),), 1),
        task(2, "b", (need(1, (0,)),), 2),
        task(3, GATEWAY, (need(1, (1, 2)),)),
    )
    assert single_losses(partial) == ()
    assert survives(partial, frozenset())


def test_a_replica_covers_its_twin_and_a_lost_producer_starves_its_consumers() -> None:
    twins = table(
        [flow(0, GATEWAY), flow(1, "a", "b"), flow(2, "c")],
        task(0, GATEWAY, (), 0),
        task(1, "a", (need(1, (0,)),), 1),
        task(2, "b", (need(1, (0,)),), 1),
        task(3, "c", (need(1, (1,)),), 2),
        task(4, GATEWAY, (need(1, (2,)),)),
    )
    assert single_losses(twins) == ("a", "b")
    assert not survives(twins, frozenset({"a", "b"}))


def test_a_device_with_two_rows_of_a_group_is_not_covered_by_one_parity() -> None:
    crowded = table(
        [flow(0, GATEWAY), flow(1, "a"), flow(2, "a"), flow(3, "c")],
        task(0, GATEWAY, (), 0),
        task(1, "a", (need(1, (0,)),), 1),
        task(2, "a", (need(1, (0,)),), 2),
        task(3, "c", (need(1, (0,)),), 3),
        task(4, GATEWAY, (need(2, (1,), (2,), (3,)),)),
    )
    assert single_losses(crowded) == ("c",)
    assert "more rows" in why_not(crowded, "a")


def test_a_task_that_nobody_needs_may_die() -> None:
    idle = table(
        [flow(0, GATEWAY), flow(1, "a"), flow(2, "b")],
        task(0, GATEWAY, (), 0),
        task(1, "a", (need(1, (0,)),), 1),
        task(2, "b", (need(1, (0,)),), 2),
        task(3, GATEWAY, (need(1, (1,)),)),
    )
    assert single_losses(idle) == ("b",)


@pytest.mark.parametrize("parity", [1, 2])
def test_a_stage_survives_as_many_losses_as_it_has_parity(alex: Graph, parity: int) -> None:
    devices = equal_cluster(7, memory=160 * MIB)
    allocation = procedure1(alex, devices, spec(parity=parity))
    dataflow = lower(alex, allocation).table
    stage = next(stage for stage in allocation.stages if stage.split == "output")
    assert survives(dataflow, frozenset(stage.devices[:parity]))
    assert survives(dataflow, frozenset(stage.devices[-parity:]))
    assert not survives(dataflow, frozenset(stage.devices[: parity + 1]))
