"""Links from traces: two clocks that don't agree, and still the truth comes out."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import pytest
from hand_made import allocate, whole
from hypothesis import given
from hypothesis import strategies as st
from plans import Sketch, cluster, device

from edgesplit.cost.database import Database
from edgesplit.dataflow.table import GATEWAY, TaskTable
from edgesplit.errors import DeployError
from edgesplit.operate.critical import Trace
from edgesplit.operate.links import Passes, passes
from edgesplit.operate.pairs import learnt, unmeasured
from edgesplit.plan.lower import lower
from edgesplit.spec.cluster import Link

WAIT, COMPUTE = 3e-4, 2e-3
PAIR = device("pi1"), device("pi2")
HOME = cluster(*PAIR)


def _chain() -> TaskTable:
    """Seven layers, to and fro between two devices, the maps in between ever smaller."""
    net, stages = Sketch(1, 1, 256, 256), []
    for index, stride in enumerate((1, 1, 4, 1, 1, 4, 1)):
        net.conv(f"c{index}", 1, stride, stride)
        stages.append(whole(f"pi{index % 2 + 1}", f"c{index}"))
    graph = net.graph()
    return lower(graph, allocate(graph, *stages)).table


CHAIN = _chain()


def _traces(link: Link, clocks: dict[str, float], request: int) -> tuple[list[Trace], float]:
    """Return what the tasks of a request say, each by its own clock, and the request's latency."""
    sizes = [f.nbytes for task in CHAIN.tasks[:-1] for f in (CHAIN.flows[task.outputs[0].flow],)]
    ways = [link.latency + nbytes / link.bandwidth for nbytes in sizes]
    formed = [*accumulate((way + WAIT + COMPUTE for way in ways[1:-1]), initial=ways[0])]
    traces = [
        Trace(
            task.device,
            request,
            0,
            task.id,
            0,
            *(
                clocks[task.device] + moment + after
                for after in (0.0, WAIT, WAIT + COMPUTE, WAIT + COMPUTE, WAIT + COMPUTE + 1e-3)
            ),
        )
        for task, moment in zip(CHAIN.tasks[1:-1], formed, strict=True)
    ]
    return traces, formed[-1] + WAIT + COMPUTE + ways[-1]


@given(st.floats(1e5, 1e9), st.floats(1e-5, 1e-1), st.floats(-1e3, 1e3))
def test_bandwidth_and_latency_are_found_whatever_the_clocks_say(
    bandwidth: float, latency: float, ahead: float
) -> None:
    link = Link(bandwidth, latency)
    told = [_traces(link, {"pi1": 0.0, "pi2": ahead}, request) for request in range(3)]
    traces = [trace for one, _ in told for trace in one]
    found = passes(CHAIN, traces, {request: seconds for request, (_, seconds) in enumerate(told)})
    assert found.there.latency == pytest.approx(latency, rel=1e-2, abs=1e-6)
    assert found.there.bandwidth == pytest.approx(bandwidth, rel=1e-2)
    assert found.entry.bandwidth == pytest.approx(bandwidth, rel=5e-2)
    assert found.step == pytest.approx({"pi1": WAIT, "pi2": WAIT}, rel=1e-3)


def test_what_large_inputs_take_to_be_copied_is_no_part_of_a_step() -> None:
    traces, latency = _traces(Link(1e7, 1e-3), {"pi1": 0.0, "pi2": 0.0}, 0)
    late = [
        replace(one, start=one.start + (1e-3 if at < 2 else 0)) for at, one in enumerate(traces)
    ]
    found = passes(CHAIN, late, {0: latency})
    assert found.step == pytest.approx({"pi1": WAIT, "pi2": WAIT}, rel=1e-3)


def test_requests_that_do_not_count_are_not_counted() -> None:
    clocks = {"pi1": 0.0, "pi2": 5.0}
    slow, _ = _traces(Link(1e5, 1.0), clocks, 0)
    quick, seconds = _traces(Link(1e8, 1e-3), clocks, 1)
    found = passes(CHAIN, [*slow, *quick], {1: seconds})
    assert found.there.latency == pytest.approx(1e-3)


def test_without_all_traces_of_any_request_nothing_is_known() -> None:
    traces, seconds = _traces(Link(1e8, 1e-3), {"pi1": 0.0, "pi2": 0.0}, 0)
    with pytest.raises(DeployError, match="no request told"):
        passes(CHAIN, traces[1:], {0: seconds})


def _told(latency: float) -> Passes:
    return Passes(Link(1e7, latency), Link(2e7, latency), {"pi1": 2e-4, "pi2": 3e-4})


def test_what_a_latency_has_beyond_the_stated_one_is_its_two_ends() -> None:
    stated = sum(one.link.latency for one in PAIR)
    (found,) = learnt(HOME, PAIR, _told(stated + 4e-4), {})
    assert found.message == pytest.approx(2e-4)
    assert found.links == {"home": {found.name: Link(1e7, stated + 4e-4), GATEWAY: _entry(stated)}}


def _entry(stated: float) -> Link:
    return Link(2e7, stated + 4e-4)


def test_on_one_machine_there_is_no_wire() -> None:
    here = tuple(replace(one, connection="local", cores=1) for one in PAIR)
    (found,) = learnt(HOME, (here[0], here[1]), _told(4e-4), {})
    assert found.message == pytest.approx(2e-4)


def test_of_several_measurements_the_least_counts() -> None:
    (first,) = learnt(HOME, PAIR, _told(2e-3), {})
    (second,) = learnt(HOME, PAIR, _told(4e-3), {first.name: first})
    assert (second.message, second.step) == (first.message, first.step)
    assert second.links["home"] != first.links["home"]


def test_links_of_two_classes_are_kept_with_both() -> None:
    other = device("pi3", profile="raspberry-pi-4b")
    told = Passes(Link(1e7, 1e-3), Link(2e7, 1e-3), {"pi1": 2e-4, "pi3": 1e-4})
    found = {one.name: one for one in learnt(HOME, (PAIR[0], other), told, {})}
    assert set(found["raspberry-pi-3b-4-cores"].links["home"]) == {
        "raspberry-pi-4b-4-cores",
        GATEWAY,
    }
    assert found["raspberry-pi-4b-4-cores"].step == 1e-4


def test_only_pairs_of_classes_that_tell_something_new_are_measured() -> None:
    third = device("pi3", profile="raspberry-pi-4b")
    mixed = cluster(*PAIR, third)
    assert [{a.name, b.name} for a, b in unmeasured(mixed, {})] == [{"pi1", "pi2"}, {"pi1", "pi3"}]
    (known,) = learnt(mixed, PAIR, _told(1e-3), {})
    assert [{a.name, b.name} for a, b in unmeasured(mixed, {known.name: known})] == [{"pi1", "pi3"}]
    elsewhere = replace(mixed, name="elsewhere")
    assert len(unmeasured(elsewhere, {known.name: known})) == 2
    assert unmeasured(cluster(third), {"x": Database("x")}) == ()
