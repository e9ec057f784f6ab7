"""Pacing: what each task of a slowed device must take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgesplit.cost.pace import MESSAGE_SECONDS, paces
from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import (
    GATEWAY,
    Flow,
    Group,
    Input,
    Output,
    Placement,
    Task,
    TaskTable,
)

BOX = Region((0, 0), (1, 4))


def task(number: int, device: str, rows: tuple[int, ...] = (), *sends: int, k: int = 0) -> Task:
    """A task that needs any k of these rows, or all, and makes these flows."""
    k = k or len(rows)
    group = Group(tuple((row,) for row in rows), (Placement(BOX, BOX),) * k)
    inputs = (Input("x", "x", BOX, "float32", (group,)),) if rows else ()
    outputs = tuple(Output("y", sent, BOX) for sent in sends)
    return Task(number, f"t{number}", f"s{number}", device, inputs, outputs)


def table(*tasks: Task, **receivers: tuple[str, ...]) -> TaskTable:
    """A table of these tasks; `f0`, `f1`, ... are the receivers of their flows."""
    sender = {out.flow: made.device for made in tasks for out in made.outputs}
    flows = (
        Flow(number, f"v{number}", BOX, "float32", (sender[number],), receivers[f"f{number}"])
        for number in range(len(sender))
    )
    return TaskTable(tuple(flows), tasks, (), ())


def chain(first: str, second: str) -> TaskTable:
    return table(
        task(0, GATEWAY, (), 0),
        task(1, first, (0,), 1),
        task(2, second, (1,), 2),
        task(3, GATEWAY, (2,)),
        f0=(first,),
        f1=(second,),
        f2=(GATEWAY,),
    )


def test_a_task_takes_its_stored_cost_and_its_message_ends_times_the_factor() -> None:
    built = chain("a", "b").with_shards({1: "one", 2: "two"})
    held = paces(built, {"one": 0.5, "two": 9.0}, "a", 20.0)
    assert held == {1: pytest.approx(20 * (0.5 + 2 * MESSAGE_SECONDS))}


def test_what_stays_on_the_device_is_no_message() -> None:
    held = paces(chain("a", "a"), {}, "a", 1.0)
    assert held == {1: pytest.approx(MESSAGE_SECONDS), 2: pytest.approx(MESSAGE_SECONDS)}


def test_every_row_and_every_receiver_is_a_message() -> None:
    coded = table(
        task(0, GATEWAY, (), 0),
        task(1, "a", (0,), 1),
        task(2, "b", (0,), 2),
        task(3, "p", (0,), 3),
        task(4, "m", (1, 2, 3), 4, k=2),
        task(5, GATEWAY, (4,)),
        f0=("a", "b", "p"),
        f1=("m",),
        f2=("m",),
        f3=("m",),
        f4=(GATEWAY, "other"),
    )
    assert paces(coded, {}, "m", 1.0) == {4: pytest.approx(5 * MESSAGE_SECONDS)}


def test_a_flow_that_two_inputs_of_a_task_read_arrives_once() -> None:
    once = chain("a", "b")
    (need,) = once.tasks[1].inputs
    doubled = replace(once.tasks[1], inputs=(need, replace(need, name="again")))
    twice = replace(once, tasks=(once.tasks[0], doubled, *once.tasks[2:]))
    assert paces(twice, {}, "a", 1.0) == paces(once, {}, "a", 1.0)
