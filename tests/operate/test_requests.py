from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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
from edgesplit.dataflow.variants import together
from edgesplit.dataflow.wire import Drop, Header, Kind
from edgesplit.operate.requests import OpenRequest, Requests

_BOX = Region.full((1, 2))


def table(window: int = 3) -> TaskTable:
    """A single device that sends back what it is given."""
    port = Port("x", (1, 2), "float32")
    group = Group(((1,),), (Placement(_BOX, _BOX),))
    flows = (
        Flow(0, "x", _BOX, "float32", (GATEWAY,), ("only",)),
        Flow(1, "y", _BOX, "float32", ("only",), (GATEWAY,)),
    )
    tasks = (
        Task(0, "request", "request", GATEWAY, (), (Output("x", 0, _BOX),)),
        Task(1, "sink", "sink", GATEWAY, (Input("y", "y", _BOX, "float32", (group,)),), ()),
    )
    return TaskTable(flows, tasks, (port,), (Port("y", (1, 2), "float32"),), window=window)


def contribution(number: int, attempt: int) -> tuple[Header, np.ndarray]:
    data = np.array([[number, attempt]], np.float32)
    return Header(Kind.DATA, 1, 1, request=number, attempt=attempt, flow=1), data


steps = st.one_of(
    st.tuples(st.just("admit"), st.floats(0.1, 10)),
    st.tuples(st.just("wait"), st.floats(0, 3)),
    st.tuples(st.just("data"), st.tuples(st.integers(0, 12), st.integers(0, 4))),
)


@given(st.integers(1, 4), st.lists(steps, max_size=60))
def test_every_request_ends_once_by_its_own_attempt_or_its_deadline(
    attempts: int, script: list[tuple[str, object]]
) -> None:
    requests, now = Requests(table(), attempts), 0.0
    ended: list[int] = []
    admitted: dict[int, OpenRequest] = {}
    for step, value in script:
        if step == "admit" and requests.room:
            assert isinstance(value, float)
            request = requests.admit({}, now, now + value)
            assert request.number == len(admitted) < requests.lowest + table().reach
            admitted[request.number] = request
        elif step == "wait":
            assert isinstance(value, float)
            now += value
            due = requests.due(now)
            ended += [request.number for request in due.lost]
            assert all(request.deadline <= now for request in due.lost)
            assert all(0 < r.attempt < attempts and now < r.deadline for r in due.again)
        elif step == "data":
            assert isinstance(value, tuple)
            number, attempt = value
            found = requests.offer(*contribution(number, attempt))
            if number not in admitted or number in ended:
                assert found is Drop.CLOSED
            elif attempt != admitted[number].attempt:
                assert found is Drop.LATE
            else:
                assert found is admitted[number]
                assert found.assembly.feeds()["y"].tolist() == [[number, attempt]]
                requests.close(found)
                ended.append(number)
        still = [number for number in admitted if number not in ended]
        assert requests.lowest == min(still, default=len(admitted))
        assert len(requests) == len(still)
    assert len(ended) == len(set(ended))


@given(st.integers(1, 5), st.floats(0.01, 1e4), st.floats(0, 1e6))
def test_each_attempt_gets_an_equal_share_of_the_time(
    attempts: int, seconds: float, start: float
) -> None:
    requests = Requests(table(), attempts)
    request = requests.admit({}, start, start + seconds)
    moments = []
    while (due := requests.next_due()) is not None:
        moments.append(due)
        requests.due(due)
    assert request.attempt == attempts - 1
    shares = [start + seconds * (index + 1) / attempts for index in range(attempts)]
    np.testing.assert_allclose(moments, shares, rtol=1e-9)


def answer_of(request: OpenRequest) -> tuple[Header, np.ndarray]:
    header, data = contribution(request.number, request.attempt)
    return header._replace(flow=2 * request.variant + 1, variant=request.variant), data


def test_requests_take_variants_in_turn_and_leave_one_that_cannot_answer() -> None:
    requests = Requests(together([table(window=9)] * 3), attempts=2)
    opened = [requests.admit({}, 0.0, 10.0) for _ in range(6)]
    assert [request.variant for request in opened] == [0, 1, 2, 0, 1, 2]
    due = requests.due(1.0, able={0, 2})
    assert due.again == (opened[1], opened[4])
    assert not due.lost
    assert {request.variant for request in due.again} == {0, 2}
    assert [(request.attempt, len(request.tried)) for request in due.again] == [(1, 2)] * 2
    # Beyond the tries that the deadline is divided into, and for as long as it takes.
    due = requests.due(2.0, able={1})
    assert len(due.again) == 6
    assert opened[1].attempt == 2
    assert not requests.due(3.0, able={1}).again
    for request in opened:
        assert requests.offer(*answer_of(request)) is request
        requests.close(request)
    assert not requests


def test_what_nobody_can_answer_stays_until_its_attempt_has_had_its_time() -> None:
    requests = Requests(together([table()] * 2), attempts=2)
    request = requests.admit({}, 0.0, 10.0, able={1})
    assert request.variant == 1
    assert not requests.due(4.0).again
    assert requests.due(5.0).again == (request,)
    assert (request.variant, request.attempt) == (0, 1)
    assert requests.due(10.0).lost == (request,)


def test_the_contribution_of_another_variant_is_no_answer() -> None:
    requests = Requests(together([table()] * 2), attempts=2)
    first, second = (requests.admit({}, 0.0, 10.0) for _ in range(2))
    header, data = answer_of(second)
    assert requests.offer(header._replace(request=first.number), data) is Drop.FLOW
