"""What holds of every simulated run, over random allocations with and without parity."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from drawn_tables import costs, pipeline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import Sketch
from random_allocations import allocations

from edgesplit.cost.load import load
from edgesplit.cost.simulate import Costs, simulate
from edgesplit.cost.timeline import COMPUTE, MESSAGES, RECEIVING, SENDING, Timeline, timeline
from edgesplit.dataflow.table import GATEWAY, Task, TaskTable
from edgesplit.plan.lower import lower
from edgesplit.spec.cluster import Link

GRAPH = (
    Sketch(1, 3, 12, 12)
    .conv("conv1", 8, 3, pad=1)
    .relu("relu1")
    .pool("pool1", 2, 2)
    .conv("conv2", 6, 3)
    .flatten("flatten")
    .fc("fc1", 10)
    .fc("fc2", 4)
    .graph()
)
RESOURCES = (COMPUTE, MESSAGES, SENDING, RECEIVING)

some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def runs(draw: st.DrawFn) -> tuple[TaskTable, Costs]:
    """Draw a task table over one to eight devices, unequal or all alike, and its costs."""
    table = lower(GRAPH, draw(allocations(GRAPH, draw(st.integers(1, 8))))).table
    numbers = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    alike = draw(st.booleans())

    def number() -> float:
        return 0.5 if alike else numbers.random()

    names = [GATEWAY, *table.devices]
    return table, Costs(
        {task.id: number() for task in table.tasks if task.device != GATEWAY},
        {name: number() * 1e-2 for name in names},
        {name: Link(1e3 + 1e4 * number(), number() * 1e-2) for name in names},
    )


def longest_chain(table: TaskTable, priced: Costs) -> float:
    """Return the seconds of computing that no order and no network can take away."""
    made = {output.flow: task for task in table.tasks for output in task.outputs}
    done: dict[int, float] = {}

    def finish(task: Task) -> float:
        if task.id not in done:
            groups = [group for need in task.inputs for group in need.groups]
            rows = [
                sorted(max(finish(made[flow]) for flow in row) for row in group.rows)[group.k - 1]
                for group in groups
            ]
            done[task.id] = max(rows, default=0.0) + priced.tasks.get(task.id, 0.0)
        return done[task.id]

    return finish(table.sink)


def coded(table: TaskTable) -> bool:
    groups = (group for task in table.tasks for need in task.inputs for group in need.groups)
    return any(group.k < len(group.rows) for group in groups)


def seconds_of(drawn: Timeline) -> dict[tuple[str, str], float]:
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    for span in drawn.spans:
        found[span.device, span.resource] += span.seconds
    return found


@some
@given(runs())
def test_a_run_takes_its_longest_chain_at_least_and_its_timeline_shows_all_of_it(
    case: tuple[TaskTable, Costs],
) -> None:
    table, priced = case
    run, drawn = simulate(table, priced), timeline(table, priced)
    assert run.latency >= longest_chain(table, priced) - 1e-9
    spent = seconds_of(drawn)
    assert spent[GATEWAY, "requests 1"] == pytest.approx(run.latency)
    for name, usage in run.usage.items():
        for resource in RESOURCES:
            told, whole = spent[name, resource], getattr(usage, resource)
            assert told <= whole + 1e-9
            assert coded(table) or told == pytest.approx(whole, abs=1e-9)


@some
@given(runs(), st.integers(1, 4))
def test_spans_of_a_resource_never_overlap_and_arrows_go_forward(
    case: tuple[TaskTable, Costs], window: int
) -> None:
    drawn = timeline(*case, requests=2 * window, window=window)
    lanes = defaultdict(list)
    for span in drawn.spans:
        assert span.start <= span.end
        lanes[span.device, span.resource].append((span.start, span.end))
    for own in lanes.values():
        assert all(one[1] <= two[0] + 1e-9 for one, two in pairwise(sorted(own)))
    assert all(arrow.sent <= arrow.received for arrow in drawn.arrows)
    assert {lane for arrow in drawn.arrows for lane in (arrow.sender, arrow.receiver)} <= set(lanes)
    open_at_once = [lane for lane in lanes if lane[1].startswith("requests")]
    assert len(open_at_once) == window


@some
@given(runs(), st.integers(1, 4))
def test_no_load_passes_more_than_its_busiest_resource_allows(
    case: tuple[TaskTable, Costs], window: int
) -> None:
    table, priced = case
    run, loaded = simulate(table, priced), load(table, priced, window)
    assert loaded.throughput <= (1 + 1e-9) / max(use.busiest for use in run.usage.values())
    assert loaded.devices.keys() == run.usage.keys()
    for one in loaded.devices.values():
        shares = (one.busy.compute, one.busy.messages, one.busy.sending, one.busy.receiving)
        assert all(0 <= share <= 1 + 1e-9 for share in shares)
        assert 0 <= one.queue <= one.queue_max
    if window == 1 and not coded(table):  # Rows that came too late may reorder what comes next.
        assert loaded.throughput <= (1 + 1e-9) / run.latency


def test_a_timeline_tells_what_went_where() -> None:
    drawn = timeline(pipeline(), costs({1: 2.0, 2: 3.0}, message=0.25, latency=0.1))
    own = [span for span in drawn.spans if span.device == "a"]
    assert [(span.resource, span.what) for span in own] == [
        (RECEIVING, "v from gateway"),
        (MESSAGES, "v from gateway"),
        (COMPUTE, "t1"),
        (MESSAGES, "v to b"),
        (SENDING, "v to b"),
    ]
    assert [span.start for span in own] == pytest.approx([0.45, 1.45, 1.7, 3.7, 3.95])
    assert [span.end for span in own] == pytest.approx([1.45, 1.7, 3.7, 3.95, 4.95])
    first = drawn.arrows[0]
    assert (first.sender, first.receiver) == ((GATEWAY, SENDING), ("a", RECEIVING))
    assert [first.sent, first.received] == pytest.approx([0.25, 0.45])
