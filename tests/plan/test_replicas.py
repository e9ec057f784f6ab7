"""Replicas: who is in which group, when they are worth it, and what they are expected to give."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from hand_made import allocate, perceptron, split, whole
from hypothesis import given
from hypothesis import strategies as st
from plans import MIB, alexnet, cluster, device, equal_cluster, spec

from edgesplit.errors import PlanError, SpecErrors
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Prediction
from edgesplit.plan.check import check
from edgesplit.plan.coverage import answering, single_losses, why_not
from edgesplit.plan.file import load_allocation, write_allocation
from edgesplit.plan.lower import lower
from edgesplit.plan.predict import predict
from edgesplit.plan.procedure1 import procedure1
from edgesplit.plan.replicas import replicated, shared_out
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec, Pin

AMPLE = 1024 * MIB
PROFILES = ("raspberry-pi-3b", "raspberry-pi-4b", "raspberry-pi-5")
LAYERS = ("fc1", "fc2")
GRAPH = perceptron(8, 4)
TWO = replace(allocate(GRAPH, whole("pi1", *LAYERS)), cluster=equal_cluster(4))


def planned(graph: Graph, home: Cluster, **model: object) -> Allocation:
    wanted: ModelSpec = spec(objective="throughput", **model)
    return replicated(graph, home, lambda part: procedure1(graph, part, wanted))


def prediction(allocation: Allocation) -> Prediction:
    assert allocation.prediction is not None
    return allocation.prediction


@given(st.lists(st.sampled_from(PROFILES), min_size=1, max_size=9), st.integers(1, 9))
def test_a_device_more_changes_its_own_group_only(kinds: list[str], number: int) -> None:
    devices = [device(f"d{index}", profile=kind) for index, kind in enumerate(kinds)]
    before, after = shared_out(devices[:-1], number), shared_out(devices, number)
    assert Counter(chain.from_iterable(after)) == Counter(devices)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new[:-1] for _, new in changed] == [old for old, _ in changed]
    assert [new[-1] for _, new in changed] == [devices[-1]]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_devices_that_hold_the_model_multiply_its_throughput(alex: Graph, count: int) -> None:
    one = prediction(planned(alex, equal_cluster(1, memory=AMPLE)))
    found = planned(alex, equal_cluster(count, memory=AMPLE))
    assert [[s.shares[0].device for s in stages] for stages in found.variants] == [
        [f"pi{number}"] for number in range(1, count + 1)
    ]
    assert prediction(found).throughput == pytest.approx(count * one.throughput)
    assert prediction(found).latency == pytest.approx(one.latency)
    assert prediction(found).survives == tuple(f"pi{n}" for n in range(1, count + 1))


def test_a_device_that_is_too_small_stays_out(alex: Graph) -> None:
    three = planned(alex, equal_cluster(3, memory=AMPLE))
    devices = (*equal_cluster(3, memory=AMPLE).devices, device("small", memory=40 * MIB))
    four = planned(alex, cluster(*devices))
    assert prediction(four).throughput >= prediction(three).throughput


def test_where_memory_is_short_groups_share_the_model(alex: Graph) -> None:
    found = planned(alex, equal_cluster(6, memory=200 * MIB))
    assert len(found.variants) > 1
    check(alex, found)
    for stages in found.variants:
        assert len({name for stage in stages for name in stage.devices}) > 1
    pairs = [{n for stage in stages for n in stage.devices} for stages in found.variants]
    assert sum(map(len, pairs)) == len(set().union(*pairs))
    limits = {one.name: one.memory for one in found.cluster.devices}
    for one in prediction(found).devices:
        assert one.memory + one.weights + one.reserved <= limits[one.device]


def test_no_more_replicas_than_the_window_keeps_busy(alex: Graph) -> None:
    assert len(planned(alex, equal_cluster(5, memory=AMPLE), window=2).variants) <= 2


def test_pins_that_name_devices_decide(alex: Graph) -> None:
    pins = (Pin("fc8", ("pi2",)),)
    assert not planned(alex, equal_cluster(4, memory=AMPLE), pins=pins).replicas


def test_a_model_that_fits_nowhere_is_refused(alex: Graph) -> None:
    with pytest.raises(PlanError):
        planned(alex, equal_cluster(2, memory=20 * MIB))


def test_unequal_replicas_add_up_and_the_mean_latency_is_theirs() -> None:
    graph = alexnet()
    home = cluster(device("slow", memory=AMPLE), device("fast", profile=PROFILES[2], memory=AMPLE))
    layers = tuple(layer.name for layer in graph.layers)
    base = Allocation(home, spec(), graph.digest, (whole("slow", *layers),))
    slow, fast = (
        predict(graph, replace(base, stages=(whole(d, *layers),))) for d in ("slow", "fast")
    )
    both = predict(graph, replace(base, replicas=((whole("fast", *layers),),)))
    assert both.throughput == pytest.approx(slow.throughput + fast.throughput)
    assert both.latency == pytest.approx((slow.latency + fast.latency) / 2)
    shares = {one.device: one.compute * both.throughput for one in both.devices}
    alone = {o.device: o.compute * p.throughput for p in (slow, fast) for o in p.devices}
    assert shares == pytest.approx(alone)


def test_replicas_on_the_same_devices_give_nothing_and_share_their_sessions() -> None:
    one = predict(GRAPH, TWO)
    twice = predict(GRAPH, replace(TWO, replicas=(TWO.stages,)))
    assert twice.throughput == pytest.approx(one.throughput)
    assert [d.memory for d in twice.devices] == [d.memory for d in one.devices]
    assert [d.compute for d in twice.devices] == pytest.approx([d.compute for d in one.devices])


def test_coverage_counts_the_ways_that_are_left() -> None:
    coded = split("fc1", ("pi2", 0, 4), ("pi3", 4, 8), parity=("pi4",))
    allocation = replace(TWO, replicas=((coded, whole("pi2", "fc2")),))
    table = lower(GRAPH, allocation).table
    assert answering(table, frozenset()) == {0, 1}
    assert answering(table, frozenset({"pi3"})) == {0, 1}
    assert answering(table, frozenset({"pi2"})) == {0}
    assert answering(table, frozenset({"pi1"})) == {1}
    assert answering(table, frozenset({"pi1", "pi2"})) == frozenset()
    assert set(single_losses(table)) == {"pi1", "pi2", "pi3", "pi4"}


def test_a_device_that_every_replica_needs_is_named() -> None:
    ways = (whole("pi2", "fc1"), whole("pi1", "fc2"))
    table = lower(GRAPH, replace(TWO, replicas=(ways,))).table
    assert single_losses(table) == ("pi2",)
    assert why_not(table, "pi1") == "no replica answers without pi1"


def test_a_file_with_replicas_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "allocation.yaml"
    allocation = replace(TWO, replicas=((whole("pi2", *LAYERS),),))
    write_allocation(allocation, path)
    assert load_allocation(path) == allocation
    assert "take turns" in path.read_text()


def test_an_unknown_device_of_a_replica_is_found_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "allocation.yaml"
    write_allocation(replace(TWO, replicas=((whole("pi22", *LAYERS),),)), path)
    lines = path.read_text().splitlines()
    (line,) = (number for number, text in enumerate(lines, 1) if "pi22" in text)
    with pytest.raises(SpecErrors, match=f"allocation.yaml:{line}:.*no device 'pi22'"):
        load_allocation(path)


def test_a_damaged_replica_is_named() -> None:
    replicas = ((whole("pi2", *LAYERS),), (whole("pi3", "fc1"),))
    with pytest.raises(PlanError, match="no stage holds layer 'fc2'") as caught:
        check(GRAPH, replace(TWO, replicas=replicas))
    assert caught.value.where == "replica 2"
