"""The measured timeline of traces whose clocks the test has set apart."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from drawn_tables import Drawing, of

from edgesplit.cost.timeline import COMPUTE, MESSAGES
from edgesplit.dataflow.table import GATEWAY, TaskTable
from edgesplit.operate.bench import Contestant, measure
from edgesplit.operate.critical import Trace
from edgesplit.operate.load import Outcome, Pattern, Sample, Workload
from edgesplit.operate.requests import Passage
from edgesplit.operate.rounds import Round
from edgesplit.operate.timeline import DRAWN, measured_timeline

AHEAD = {"a": 1000.0, "b": -300.0, "c": 7.0}


def coded() -> TaskTable:
    """Return a table in which b and c make the two rows of a group that one is enough of."""
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a",))
    first = drawing.task("a", of(1, request), receivers=("b", "c"))
    rows = [drawing.task(name, of(1, first), receivers=(GATEWAY,)) for name in "bc"]
    drawing.task(GATEWAY, of(1, *rows))
    return drawing.table()


def trace(device: str, request: int, task: int, last: int, start: float) -> Trace:
    """Return a task of 10 ms that was handed over in 1 ms, told by the device's own clock."""
    local = start + AHEAD[device]
    return Trace(
        *(device, request, 0, task, last),
        *(local - 0.001, local, local + 0.01, local + 0.01, local + 0.011),
    )


def measured(requests: int) -> Round:
    samples, traces = [], []
    for number in range(requests):
        begin = 50.0 + 0.1 * number
        traces += [
            trace("a", number, 1, 0, begin + 0.002),
            trace("b", number, 2, 1, begin + 0.014),
            trace("c", number, 3, 1, begin + 0.040),
        ]
        passage = Passage(number, 0, 2, 0, latency=0.026, head=0.001, admitted=begin)
        samples.append(Sample(number, 0.0, 0.0, 0.026, Outcome.OK, None, passage))
    return Round(tuple(samples), {}, (), tuple(traces))


def test_all_devices_are_drawn_on_the_gateways_clock() -> None:
    drawn = measured_timeline(coded(), [Round((), {}, (), ()), measured(3)])
    assert drawn.doubt.keys() == {"a", "b"}
    assert all(doubt < 0.005 for doubt in drawn.doubt.values())
    starts = {(s.device, s.resource, s.request): s.start for s in drawn.spans}
    for number in range(3):
        begin = 50.0 + 0.1 * number
        assert starts[GATEWAY, "requests 1", number] == pytest.approx(begin)
        assert starts["a", COMPUTE, number] == pytest.approx(begin + 0.002, abs=0.002)
        assert starts["b", COMPUTE, number] == pytest.approx(begin + 0.014, abs=0.002)
        handing = starts["b", MESSAGES, number] - starts["b", COMPUTE, number]
        assert handing == pytest.approx(0.01)
    lanes = defaultdict(list)
    for span in drawn.spans:
        lanes[span.device, span.resource].append((span.start, span.end))
    assert all(a[1] <= b[0] for own in lanes.values() for a, b in pairwise(sorted(own)))


def test_arrows_show_what_was_waited_for_and_no_row_that_came_too_late() -> None:
    drawn = measured_timeline(coded(), [measured(1)])
    ends = {(arrow.sender[0], arrow.receiver[0]) for arrow in drawn.arrows}
    assert ends == {(GATEWAY, "a"), ("a", "b"), ("a", "c"), ("b", GATEWAY)}
    assert all(arrow.sent <= arrow.received for arrow in drawn.arrows)


def test_only_the_last_requests_are_drawn() -> None:
    drawn = measured_timeline(coded(), [measured(DRAWN + 5)])
    assert {span.request for span in drawn.spans} == set(range(5, DRAWN + 5))


def test_a_run_without_answers_is_an_empty_timeline() -> None:
    drawn = measured_timeline(coded(), [Round((), {}, (), ())])
    assert (drawn.spans, drawn.arrows, drawn.doubt) == ((), (), {})


def test_executors_that_share_a_clock_are_found_to_share_it(
    steady_lab: Any,  # noqa: ANN401 - made by the folder's own fixtures
) -> None:
    work = Workload((steady_lab.feeds(1),), (steady_lab.oracle(steady_lab.feeds(1)),), 1e-5)
    with steady_lab.join() as gateway:
        run = measure(Contestant("cluster", gateway, work), Pattern(warm_up=3), 15)
    drawn = run.timeline
    told = {(t.device, t.request, t.task): t.start for p in run.rounds for t in p.traces}
    tasks = {task.name: task.id for task in run.table.tasks}
    computed = [span for span in drawn.spans if span.resource == COMPUTE]
    assert len({span.request for span in computed}) == len(run.samples) == 15
    related = [span for span in computed if span.device in drawn.doubt]
    assert related
    for span in related:
        offset = span.start - told[span.device, span.request, tasks[span.what]]
        assert abs(offset) <= drawn.doubt[span.device] + 1e-5
