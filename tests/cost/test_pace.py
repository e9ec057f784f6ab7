"""Pacing: what each task of a slowed device must take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_tables import Sheet, chain, fan

from edgesplit.cost.pace import MESSAGE_SECONDS, paces
from edgesplit.dataflow.table import GATEWAY


def test_a_task_takes_its_stored_cost_and_its_message_ends_times_the_factor() -> None:
    table = chain("a", "b").with_shards({1: "one", 2: "two"})
    held = paces(table, {"one": 0.5, "two": 9.0}, "a", 20.0)
    assert held == {1: pytest.approx(20 * (0.5 + 2 * MESSAGE_SECONDS))}


def test_every_receiver_and_every_row_is_a_message() -> None:
    sheet = Sheet()
    asked = sheet.flow(GATEWAY, "a", "b", "p")
    rows = [sheet.flow(d, "m", row=i, group=0) for i, d in enumerate(("a", "b", "p"))]
    answer = sheet.flow("m", GATEWAY, "other")
    sheet.task(GATEWAY, [], [asked])
    for device, row in zip(("a", "b", "p"), rows, strict=True):
        sheet.task(device, [[asked]], [row])
    merge = sheet.task("m", [rows], [answer], k=2)
    sheet.task(GATEWAY, [[answer]])
    assert paces(sheet.table(), {}, "m", 1.0) == {merge: pytest.approx(5 * MESSAGE_SECONDS)}


def test_what_stays_on_the_device_is_no_message() -> None:
    table = chain("a", "a")
    assert paces(table, {}, "a", 1.0) == {
        1: pytest.approx(MESSAGE_SECONDS),
        2: pytest.approx(MESSAGE_SECONDS),
    }


def test_a_flow_read_twice_by_one_task_arrives_once() -> None:
    table = fan(("a",))
    task = table.tasks[1]
    doubled = replace(task, inputs=(task.inputs[0], replace(task.inputs[0], name="again")))
    tasks = (table.tasks[0], doubled, *table.tasks[2:])
    again = replace(table, tasks=tasks)
    assert paces(again, {}, "a", 1.0) == paces(table, {}, "a", 1.0)
