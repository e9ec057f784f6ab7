"""The simulator on tables drawn by hand, where the answer can be counted on paper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.cost.simulate import Costs, simulate
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
from edgesplit.spec.cluster import Link

BOX = Region((0,), (250,))  # A kilobyte of float32: a second at the default rate.


class Drawing:
    """A table in the making; tasks are named by their flow."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self.tasks: list[Task] = []

    def task(self, device: str, *groups: Group, receivers: tuple[str, ...] = ()) -> int:
        number = len(self.flows)
        need = Input("in", "in", BOX, "float32", groups)
        outputs = (Output("out", number, BOX),) if receivers else ()
        if receivers:
            self.flows.append(Flow(number, "v", BOX, "float32", (device,), receivers))
        inputs = (need,) if groups else ()
        at = len(self.tasks)
        self.tasks.append(Task(at, f"t{at}", f"s{at}", device, inputs, outputs))
        return number

    def table(self) -> TaskTable:
        port = Port("in", (250,), "float32")
        return TaskTable(tuple(self.flows), tuple(self.tasks), (port,), (port,))


def of(k: int, *flows: int) -> Group:
    return Group(tuple((number,) for number in flows), (Placement(BOX, BOX),) * k)


def costs(
    tasks: dict[int, float], *, message: float = 0.0, latency: float = 0.0, **rates: float
) -> Costs:
    names = [GATEWAY, "a", "b", "c", "d"]
    links = {name: Link(rates.get(name, 1e3), latency) for name in names}
    return Costs(tasks, dict.fromkeys(names, message), links)


def pipeline() -> TaskTable:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a",))
    first = drawing.task("a", of(1, request), receivers=("b",))
    second = drawing.task("b", of(1, first), receivers=(GATEWAY,))
    drawing.task(GATEWAY, of(1, second))
    return drawing.table()


def test_a_pipeline_adds_up() -> None:
    run = simulate(pipeline(), costs({1: 2.0, 2: 3.0}, message=0.25, latency=0.1))
    hop = 0.25 + 0.1 + 0.1 + 1.0 + 0.25
    assert run.latency == pytest.approx(3 * hop + 5.0)
    assert run.throughput == pytest.approx(1 / 3.0)


def test_the_busiest_resource_limits_throughput() -> None:
    run = simulate(pipeline(), costs({1: 0.1, 2: 0.1}, b=200.0))
    assert run.usage["b"].receiving == pytest.approx(5.0)
    assert run.throughput == pytest.approx(1 / 5.0)


def test_messages_of_one_sender_leave_one_after_the_other() -> None:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a", "b"))
    first = drawing.task("a", of(1, request), receivers=(GATEWAY,))
    second = drawing.task("b", of(1, request), receivers=(GATEWAY,))
    drawing.task(GATEWAY, of(1, first), of(1, second))
    fast = {"a": 1e9, "b": 1e9}
    run = simulate(drawing.table(), costs({}, **fast))
    assert run.usage[GATEWAY].sending == pytest.approx(2.0)
    assert run.latency == pytest.approx(1.0 + 1.0 + 1.0, abs=1e-3)


def test_messages_to_one_receiver_share_its_link() -> None:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a", "b", "c"))
    sent = [drawing.task(name, of(1, request), receivers=("d",)) for name in "abc"]
    merged = drawing.task("d", *(of(1, number) for number in sent), receivers=(GATEWAY,))
    drawing.task(GATEWAY, of(1, merged))
    fast = dict.fromkeys((GATEWAY, "a", "b", "c"), 1000000000.0)
    assert simulate(drawing.table(), costs({}, **fast)).latency == pytest.approx(4.0, abs=1e-3)


def test_the_first_k_rows_are_enough() -> None:
    def latency(k: int) -> float:
        drawing = Drawing()
        request = drawing.task(GATEWAY, receivers=("a", "b", "c"))
        rows = [drawing.task(name, of(1, request), receivers=("d",)) for name in "abc"]
        merged = drawing.task("d", of(k, *rows), receivers=(GATEWAY,))
        drawing.task(GATEWAY, of(1, merged))
        fast = dict.fromkeys((GATEWAY, "a", "b", "c", "d"), 1000000000.0)
        return simulate(drawing.table(), costs({1: 1.0, 2: 50.0, 3: 2.0}, **fast)).latency

    assert latency(2) == pytest.approx(2.0, abs=1e-3)
    assert latency(3) == pytest.approx(50.0, abs=1e-3)


def test_tasks_of_one_device_wait_for_each_other() -> None:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a",))
    both = [drawing.task("a", of(1, request), receivers=(GATEWAY,)) for _ in range(2)]
    drawing.task(GATEWAY, *(of(1, number) for number in both))
    fast = dict.fromkeys((GATEWAY, "a"), 1000000000.0)
    run = simulate(drawing.table(), costs({1: 3.0, 2: 4.0}, **fast))
    assert run.latency == pytest.approx(7.0, abs=1e-3)
    assert run.usage["a"].compute == pytest.approx(7.0)


def test_nothing_is_sent_to_oneself() -> None:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a",))
    first = drawing.task("a", of(1, request), receivers=("a",))
    second = drawing.task("a", of(1, first), receivers=(GATEWAY,))
    drawing.task(GATEWAY, of(1, second))
    run = simulate(drawing.table(), costs({1: 1.0, 2: 1.0}))
    assert run.latency == pytest.approx(4.0)
    assert run.usage["a"].sending == pytest.approx(1.0)


def test_a_table_that_never_answers_is_refused() -> None:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a",))
    unsent = 5
    made = drawing.task("a", of(1, request), of(1, unsent), receivers=(GATEWAY,))
    drawing.task(GATEWAY, of(1, made))
    with pytest.raises(ValueError, match="never forms"):
        simulate(drawing.table(), costs({}))


@given(
    st.lists(st.floats(0, 10), min_size=2, max_size=2),
    st.floats(0, 1),
    st.floats(1, 1e6),
    st.floats(0, 5),
)
def test_slower_parts_never_answer_sooner(
    seconds: list[float], message: float, rate: float, more: float
) -> None:
    table = pipeline()
    tasks = dict(enumerate(seconds, start=1))
    before = simulate(table, costs(tasks, message=message, a=rate))
    after = simulate(table, costs({**tasks, 1: tasks[1] + more}, message=message, a=rate))
    assert after.latency >= before.latency
    assert after.throughput <= before.throughput
    assert simulate(table, costs(tasks, message=message, a=rate)) == before
