"""The simulator on tables drawn by hand, where the answer can be counted on paper."""

from __future__ import annotations

import pytest
from drawn_tables import Drawing, costs, of, pipeline
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.cost.load import load
from edgesplit.cost.passing import Passing
from edgesplit.cost.simulate import Costs, simulate
from edgesplit.dataflow.table import GATEWAY, TaskTable
from edgesplit.dataflow.variants import together
from edgesplit.spec.cluster import Link


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


def deep(tasks: int) -> tuple[TaskTable, Costs]:
    """Return a line of tasks of a second each, every one on a device of its own."""
    drawing = Drawing()
    names = [f"d{index}" for index in range(tasks)]
    flow = drawing.task(GATEWAY, receivers=(names[0],))
    for index, name in enumerate(names):
        receiver = names[index + 1] if index + 1 < tasks else GATEWAY
        flow = drawing.task(name, of(1, flow), receivers=(receiver,))
    drawing.task(GATEWAY, of(1, flow))
    free = Link(1e12, 0.0)
    every = [GATEWAY, *names]
    seconds = {index + 1: 1.0 for index in range(tasks)}
    return drawing.table(), Costs(seconds, dict.fromkeys(every, 0.0), dict.fromkeys(every, free))


def test_no_more_than_a_window_passes_in_each_latency() -> None:
    table, priced = deep(12)
    assert simulate(table, priced).throughput == pytest.approx(table.window / 12)
    assert load(table, priced, table.window).throughput == pytest.approx(table.window / 12)
    assert load(table, priced, 12).throughput == pytest.approx(1.0)
    assert load(table, priced, 24).latency == pytest.approx(24.0)


def test_a_device_under_load_computes_the_oldest_request_first() -> None:
    table, priced = deep(2)
    loaded = load(table, Costs({1: 1.0, 2: 3.0}, priced.messages, priced.links), 4, 20)
    assert loaded.throughput == pytest.approx(1 / 3)
    assert loaded.latency == pytest.approx(4 * 3.0)
    first, second = loaded.devices["d0"], loaded.devices["d1"]
    assert [first.idle, second.idle] == pytest.approx([2 / 3, 0.0])
    assert first.queue < 1 < second.queue <= second.queue_max == 3


@pytest.mark.parametrize(("window", "requests"), [(0, 8), (4, 4)])
def test_a_load_that_never_settles_is_refused(window: int, requests: int) -> None:
    table, priced = deep(1)
    with pytest.raises(ValueError, match="no steady load"):
        load(table, priced, window, requests)


def test_a_straggler_of_a_coded_group_is_dropped_when_the_answer_is_there() -> None:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a", "b", "c"))
    rows = [drawing.task(name, of(1, request), receivers=(GATEWAY,)) for name in "abc"]
    drawing.task(GATEWAY, of(2, *rows))
    fast = dict.fromkeys((GATEWAY, "a", "b", "c"), 1e9)
    loaded = load(drawing.table(), costs({1: 1.0, 2: 1.0, 3: 10.0}, **fast), 2)
    assert loaded.latency == pytest.approx(2.0, abs=1e-3)
    assert loaded.throughput == pytest.approx(1 / 10.0)


@given(
    st.lists(st.floats(1e-3, 10), min_size=2, max_size=2),
    st.floats(0, 1),
    st.floats(1e2, 1e6),
    st.integers(1, 5),
)
def test_a_pipeline_is_between_one_at_a_time_and_its_busiest_resource(
    seconds: list[float], message: float, rate: float, window: int
) -> None:
    priced = costs(dict(enumerate(seconds, start=1)), message=message, a=rate)
    alone = simulate(pipeline(), priced)
    loaded = load(pipeline(), priced, window)
    busiest = max(use.busiest for use in alone.usage.values())
    assert loaded.throughput <= (1 + 1e-9) / busiest
    assert loaded.throughput >= (1 - 1e-9) / alone.latency
    assert loaded.latency >= alone.latency * (1 - 1e-9)
    if window == 1:
        assert loaded.throughput == pytest.approx(1 / alone.latency)
        assert loaded.latency == pytest.approx(alone.latency)


def alone(device: str) -> TaskTable:
    """A single device that answers."""
    drawing = Drawing()
    source = drawing.task(GATEWAY, receivers=(device,))
    answer = drawing.task(device, of(1, source), receivers=(GATEWAY,))
    drawing.task(GATEWAY, of(1, answer))
    return drawing.table()


FAST_LINKS = {GATEWAY: 1e9, "a": 1e9, "b": 1e9}


def test_variants_apart_add_up_and_their_latency_is_the_mean() -> None:
    run = simulate(together([alone("a"), alone("b")]), costs({1: 1.0, 4: 3.0}, **FAST_LINKS))
    assert run.latency == pytest.approx(2.0, rel=1e-3)
    assert run.throughput == pytest.approx(1 / 1.0 + 1 / 3.0, rel=1e-3)
    # A quarter of the requests goes to the slow one, which is then as busy as the fast one.
    assert run.usage["a"].compute == pytest.approx(run.usage["b"].compute)


def test_variants_on_one_device_share_it() -> None:
    run = simulate(together([alone("a"), alone("a")]), costs({1: 1.0, 4: 3.0}, **FAST_LINKS))
    assert run.throughput == pytest.approx(1 / 1.5, rel=1e-3)


def test_full_windows_reach_what_is_predicted_of_unequal_variants() -> None:
    table = together([alone("a"), alone("b")])
    prices = costs({1: 1.0, 4: 3.0}, **FAST_LINKS)
    answers = Passing(table, prices, requests=400, window=8).answer()
    rate = len(answers) / max(one.answered or 0.0 for one in answers)
    assert rate == pytest.approx(simulate(table, prices).throughput, rel=0.02)
    assert {one.variant for one in answers} == {0, 1}
