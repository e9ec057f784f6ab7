"""What messages cost in a crowd, from two rehearsals: the prices with which they come out so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import allocate
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import Sketch

from edgesplit.cost.crowd import Crowd, including, price
from edgesplit.cost.profiles import RASPBERRY_PI_3B
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.crowd import Rehearsed, crowd_of
from edgesplit.plan.lower import lower
from edgesplit.plan.planner import Planned
from edgesplit.plan.predict import predict, task_seconds, works_of

DEVICES = ("pi1", "pi2", "pi3")


def chain(channels: int) -> Planned:
    """Convolutions in strips over three devices, so that halos are exchanged in between."""
    net, stages = Sketch(1, channels, 30, 30), []
    for index in range(4):
        net.conv(f"c{index}", channels, 3, 1, 1)
        strips = [
            Share(name, tile=((10 * at, 10 * at + 10), (0, 30))) for at, name in enumerate(DEVICES)
        ]
        stages.append(Stage(f"c{index}", (f"c{index}",), "spatial", tuple(strips)))
    graph = net.graph()
    allocation = allocate(graph, *stages, parity=0)
    return Planned(allocation, graph, lower(graph, allocation))


THIN, THICK = chain(2), chain(64)


def rehearsed(planned: Planned, crowd: Crowd) -> Rehearsed:
    """What a request and its tasks take where messages have these prices."""
    board = replace(
        RASPBERRY_PI_3B, message_seconds=crowd.message, byte_seconds=crowd.byte, step_seconds=0.0
    )
    measured = dict.fromkeys(DEVICES, board)
    works = works_of(planned.graph, planned.lowered)
    tasks = task_seconds(planned.allocation, planned.lowered, works, measured)
    latency = predict(planned.graph, planned.allocation, measured).latency
    return Rehearsed(replace(planned, measured=measured), tasks, latency)


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-4, 5e-3), st.floats(5e-9, 1e-7))
def test_the_prices_of_messages_and_of_their_bytes_are_found(message: float, byte: float) -> None:
    true = Crowd(3, message, byte)
    found = crowd_of(rehearsed(THIN, true), rehearsed(THICK, true))
    assert found.message == pytest.approx(message, rel=0.02)
    assert found.byte == pytest.approx(byte, rel=0.05)


def test_messages_that_cost_nothing_have_no_price() -> None:
    free = Crowd(3, 0.0, 0.0)
    found = crowd_of(rehearsed(THIN, free), rehearsed(THICK, free))
    assert found.message == pytest.approx(0.0, abs=1e-7)
    assert found.byte == pytest.approx(0.0, abs=1e-11)


CROWDS = (Crowd(2, 0.0, 0.0), Crowd(6, 4e-4, 8e-9), Crowd(12, 1e-3, 2e-8))


def test_prices_of_a_crowd_lie_between_those_of_its_neighbours() -> None:
    assert price(CROWDS, 6) == CROWDS[1]
    assert price(CROWDS, 9).message == pytest.approx(7e-4)
    assert price(CROWDS, 9).byte == pytest.approx(1.4e-8)
    assert (price(CROWDS, 1), price(CROWDS, 40)) == (CROWDS[0], CROWDS[-1])


def test_a_crowd_takes_the_place_of_one_of_its_size() -> None:
    found = Crowd(6, 1e-4, 1e-9)
    assert including(CROWDS, found) == (CROWDS[0], found, CROWDS[2])
    assert including((), found) == (found,)


def test_a_plan_is_priced_by_the_devices_that_it_uses() -> None:
    board = replace(RASPBERRY_PI_3B, message_seconds=9.0, crowds=CROWDS)
    few = predict(THIN.graph, THIN.allocation, dict.fromkeys(DEVICES, board)).latency
    alike = replace(RASPBERRY_PI_3B, message_seconds=1e-4, byte_seconds=2e-9)
    assert few == pytest.approx(
        predict(THIN.graph, THIN.allocation, dict.fromkeys(DEVICES, alike)).latency
    )
