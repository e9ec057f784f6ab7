"""The pure state of open requests: windows, attempts, deadlines, gateways, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import GATEWAY, Flow, Group, Input, Output, Placement, Task, TaskTable
from edgesplit.dataflow.variants import together
from edgesplit.dataflow.wire import Drop, Header, Kind
from edgesplit.runtime.attempt import Work
from edgesplit.runtime.requests import Requests

WINDOW = 3
ALICE, BOB = "gateway:alice", "gateway:bob"
BOX = Region.full((2,))


def table() -> TaskTable:
    """Device `m` adds a term from `a` and one from `b`; the gateway takes the sum."""
    flows = tuple(
        Flow(i, "y", BOX, "float32", (name,), ("m",), term=i, terms=2)
        for i, name in enumerate("ab")
    )
    flows += (Flow(2, "y", BOX, "float32", ("m",), (GATEWAY,)),)
    group = Group(((0, 1),), (Placement(BOX, BOX),))
    need = Input("y", "y", BOX, "float32", (group,))
    merge = Task(1, "merge", "s", "m", (need,), (Output("y", 2, BOX),))
    ends = [Task(i, GATEWAY, "ends", GATEWAY, (), ()) for i in (0, 2)]
    return TaskTable(flows, (ends[0], merge, ends[1]), (), (), window=WINDOW, gateways=1)


def header(
    nonce: int = 1,
    request: int = 0,
    *,
    attempt: int = 0,
    lowest: int = 0,
    variant: int = 0,
    remaining: int = 1_000_000,
) -> Header:
    return Header(
        Kind.OPEN, 1, nonce, request, lowest, attempt, variant=variant, remaining=remaining
    )


def term(number: int, at: Header, value: float) -> tuple[str, Header, memoryview]:
    """The frame in which `a` or `b` contributes this value to the request of a header."""
    body = memoryview(np.full(2, value, np.float32).tobytes())
    data = at._replace(kind=Kind.DATA, flow=number, dtype="float32", length=8)
    return "ab"[number], data, body


@pytest.fixture
def state() -> Requests:
    state = Requests(table(), "m")
    assert state.hello(ALICE, header(), 0.0) == []
    return state


def work_of(found: object) -> Work:
    assert isinstance(found, list)
    (work,) = found
    assert isinstance(work, Work)
    return work


def test_data_may_come_before_its_open(state: Requests) -> None:
    assert state.data(*term(0, header(), 1), 0.0) == []
    assert state.announce(ALICE, header(), 0.1) is None
    work = work_of(state.data(*term(1, header(), 2), 0.2))
    assert work.feeds is not None
    assert work.feeds["y"].tolist() == [3, 3]
    assert (work.attempt.variant, work.attempt.opened, work.last_flow) == (0, 0.0, 1)


def test_the_gateway_says_which_variant_an_attempt_takes() -> None:
    state = Requests(together([table(), table()]), "m")
    state.hello(ALICE, header(), 0.0)
    other = header(variant=1)
    assert state.announce(ALICE, header(variant=2), 0) is Drop.VARIANT
    # What a device said before is of the wrong variant.
    assert state.data(*term(0, header(), 1), 0.0) == []
    assert state.data(*_moved(term(0, other, 1)), 0.0) is Drop.VARIANT
    assert state.announce(ALICE, other, 0.1) is None
    assert state.data(*term(1, header(), 1), 0.1) is Drop.VARIANT
    assert state.data(*term(1, other, 1), 0.1) is Drop.VARIANT
    assert state.data(*_moved(term(0, other, 2)), 0.1) == []
    work = work_of(state.data(*_moved(term(1, other, 3)), 0.1))
    assert work.feeds is not None
    assert work.feeds["y"].tolist() == [5, 5]
    assert (work.task.variant, work.attempt.variant) == (1, 1)


def _moved(frame: tuple[str, Header, memoryview]) -> tuple[str, Header, memoryview]:
    """The same contribution, in the second variant of two."""
    sender, at, body = frame
    return sender, at._replace(flow=at.flow + len(table().flows)), body


def test_attempts_never_mix(state: Requests) -> None:
    first, second = header(), header(attempt=1)
    state.announce(ALICE, first, 0)
    assert state.data(*term(0, first, 1), 0) == []
    assert state.data(*term(0, second, 10), 0) == []
    state.announce(ALICE, second, 0)
    assert state.data(*term(1, first, 2), 0) is Drop.CLOSED
    work = work_of(state.data(*term(1, second, 20), 0))
    assert work.feeds is not None
    assert work.feeds["y"].tolist() == [30, 30]


def test_a_device_cannot_end_the_attempt_that_a_gateway_announced(state: Requests) -> None:
    state.announce(ALICE, header(), 0)
    state.data(*term(0, header(), 1), 0)
    state.data(*term(0, header(attempt=9), 1), 0)
    assert state.data(*term(0, header(attempt=8), 1), 0) is Drop.CLOSED
    assert work_of(state.data(*term(1, header(), 1), 0)).attempt.number == 0


def test_attempts_that_only_devices_spoke_of_make_room(state: Requests) -> None:
    for attempt in (1, 2):
        assert state.data(*term(0, header(attempt=attempt), 1), 0) == []
    assert state.announce(ALICE, header(), 0) is None
    assert set(state.gateways[1].requests[0]) == {0, 1}


def test_an_attempt_that_is_over_lets_go_of_its_work(state: Requests) -> None:
    state.data(*term(0, header(), 1), 0)
    work = work_of(state.data(*term(1, header(), 1), 0))
    assert state.data(*term(1, header(), 1), 0) is Drop.LATE
    assert state.close(ALICE, header(), 0) is None
    assert work.attempt.over
    assert work.feeds is None
    assert state.data(*term(1, header(), 1), 0) is Drop.CLOSED
    assert state.announce(ALICE, header(), 0) is Drop.CLOSED


def test_deadlines_come_from_the_gateway_once_it_has_spoken(state: Requests) -> None:
    state.data(*term(0, header(remaining=10), 1), 0)
    state.announce(ALICE, header(remaining=5_000_000), 0)
    assert state.expire(4.9) == []
    assert state.data(*term(1, header(remaining=0), 1), 5.1) is Drop.CLOSED
    assert state.expire(5.1) == [(1, 0)]
    assert state.open == 0


def test_the_window_bounds_what_anyone_can_open(state: Requests) -> None:
    edge = 2 * WINDOW
    assert state.data(*term(0, header(request=edge - 1), 1), 0) == []
    assert state.data(*term(0, header(request=edge), 1), 0) is Drop.WINDOW
    assert state.announce(ALICE, header(request=edge), 0) is Drop.WINDOW
    # A device's word on `lowest` counts for nothing.
    assert state.data(*term(0, header(request=edge, lowest=edge), 1), 0) is Drop.WINDOW
    assert state.announce(ALICE, header(request=edge, lowest=edge), 0) is None
    assert state.data(*term(1, header(request=edge - 1), 1), 0) is Drop.CLOSED


def test_a_nonce_belongs_to_who_said_hello_first(state: Requests) -> None:
    assert state.hello(BOB, header(), 0) is Drop.NONCE
    assert state.announce(BOB, header(), 0) is Drop.NONCE
    assert state.close(BOB, header(lowest=5), 0) is Drop.NONCE
    assert state.gateways[1].lowest == 0
    assert state.data(*term(0, header(nonce=2), 1), 0) is Drop.NONCE


def test_the_user_with_most_gateways_makes_room_its_idle_ones_first(state: Requests) -> None:
    evicted: list[int] = []
    for nonce in range(10, 20):
        found = state.hello(BOB, header(nonce), nonce)
        assert isinstance(found, list)
        evicted += found
        state.announce(BOB, header(10), nonce)
    assert 1 in state.gateways
    assert evicted == [11, 12, 13, 14, 15, 16]


class AnyOrder(RuleBasedStateMachine):
    """Frames of two gateways in any order: bounded state, every sum of one attempt only."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.state = Requests(table(), "m")
        self.lowest = {1: 0, 2: 0}
        for nonce, user in ((1, ALICE), (2, BOB)):
            self.state.hello(user, header(nonce), 0)

    @rule(
        number=st.integers(0, 1),
        nonce=st.integers(1, 2),
        ahead=st.integers(-2, 7),
        attempt=st.integers(0, 2),
        remaining=st.integers(0, 3_000_000),
    )
    def contribute(self, number: int, nonce: int, ahead: int, attempt: int, remaining: int) -> None:
        request = max(0, self.lowest[nonce] + ahead)
        at = header(nonce, request, attempt=attempt, remaining=remaining)
        # A value that tells its request and attempt apart from all others, whole in float32.
        value = float(nonce * 100_000 + request * 10 + attempt)
        found = self.state.data(*term(number, at, value), self.now)
        if ahead < 0 and request < self.lowest[nonce]:
            assert found is Drop.CLOSED
        for work in () if isinstance(found, Drop) else found:
            assert work.feeds is not None
            assert work.feeds["y"].tolist() == [2 * value] * 2
            assert (work.attempt.nonce, work.attempt.request) == (nonce, request)

    @rule(nonce=st.integers(1, 2), ahead=st.integers(0, 3), attempt=st.integers(0, 2))
    def announce(self, nonce: int, ahead: int, attempt: int) -> None:
        at = header(nonce, self.lowest[nonce] + ahead, attempt=attempt, lowest=self.lowest[nonce])
        self.state.announce(self.user(nonce), at, self.now)

    @rule(nonce=st.integers(1, 2), ahead=st.integers(0, 3), step=st.integers(0, 3))
    def close(self, nonce: int, ahead: int, step: int) -> None:
        request = self.lowest[nonce] + ahead
        self.lowest[nonce] += step
        at = header(nonce, request, lowest=self.lowest[nonce])
        assert self.state.close(self.user(nonce), at, self.now) is None
        assert request not in self.state.gateways[nonce].requests

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.state.expire(self.now)
        for gateway in self.state.gateways.values():
            for attempts in gateway.requests.values():
                assert all(attempt.deadline > self.now for attempt in attempts.values())

    @precondition(lambda self: self.now > 4)
    @rule(nonce=st.integers(1, 2))
    def leave(self, nonce: int) -> None:
        self.state.forget(nonce)
        self.state.hello(self.user(nonce), header(nonce, lowest=self.lowest[nonce]), self.now)
        assert not self.state.gateways[nonce].requests

    @invariant()
    def bounded(self) -> None:
        if not hasattr(self, "state"):
            return
        for nonce, gateway in self.state.gateways.items():
            held = gateway.requests.keys() | gateway.closed
            reach = range(self.lowest[nonce], self.lowest[nonce] + 2 * WINDOW)
            assert held <= set(reach)
            assert not gateway.requests.keys() & gateway.closed
            assert all(1 <= len(attempts) <= 2 for attempts in gateway.requests.values())

    @staticmethod
    def user(nonce: int) -> str:
        return ALICE if nonce == 1 else BOB


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
