"""The certified bound: no allocation beats it, whatever its splits, and some come close."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, islice, pairwise, product
from typing import cast

import pytest
from every_allocation import every_allocation
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from plans import GIGABIT, Sketch, alexnet, cluster, device, equal_cluster, spec, vgg16
from random_allocations import allocations
from random_models import draw_graph, runs

from edgesplit.cost.database import Database, Point, Session
from edgesplit.cost.profiles import RASPBERRY_PI_3B, Profile
from edgesplit.cost.simulate import simulate
from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Split, Stage
from edgesplit.plan.bound import Bound, lower_bound
from edgesplit.plan.check import check
from edgesplit.plan.check_split import check_split
from edgesplit.plan.lower import lower
from edgesplit.plan.predict import costs, works_of
from edgesplit.plan.search import search
from edgesplit.plan.tasks import kernels_of
from edgesplit.spec.cluster import Cluster, Link

LARGE = 8 << 30
ROUNDED = 1 + 1e-9
"""Sums are taken in another order."""

QUICK = Profile("quick", 5e9, 2e9, 0.0, 0.0)
"""A board on which tasks and messages cost nothing but their work."""


def reached(graph: Graph, allocation: Allocation, measured: dict[str, Profile]) -> Bound:
    """What the simulator says of an allocation."""
    lowered = lower(graph, allocation)
    priced = costs(allocation, lowered, works_of(graph, lowered), measured)
    run = simulate(lowered.table, priced)
    return Bound(run.latency, run.throughput)


def replicas(every: list[Allocation], found: list[Bound]) -> Iterator[Allocation]:
    """Yield pairs that take turns: of the ways that let most requests pass, and those alone."""
    rated = sorted(zip(found, every, strict=True), key=lambda pair: -pair[0].throughput)
    alone = [way for _, way in rated if len({n for s in way.stages for n in s.devices}) == 1]
    ways = [way for _, way in rated[:8]] + alone[:40]
    for one, other in combinations(ways, 2):
        yield replace(one, replicas=(other.stages,))


def convolutions() -> Graph:
    return Sketch(1, 64, 12, 12).conv("a", 128, 3, 1, 1).relu("ra").conv("b", 128, 3, 1, 1).graph()


def strided() -> Graph:
    """Of the first map, only every other row is needed by anyone."""
    return Sketch(1, 64, 12, 12).conv("a", 128, 3, 1, 1).conv("b", 64, 1, 2).graph()


def mixed() -> Graph:
    net = Sketch(1, 32, 8, 8).conv("a", 64, 3, 1, 1).pool("p", 2, 2)
    return net.flatten("f").fc("b", 512).graph()


def perceptron() -> Graph:
    return Sketch(1, 2048).fc("a", 2048).relu("r").fc("b", 2048).graph()


EQUAL = equal_cluster(2)
DIFFERENT = cluster(device("old"), device("new", profile="raspberry-pi-4b", link=GIGABIT))

# The last two columns: how far the best of all allocations is from the bound at most. Without them
# a bound of nothing would pass.
CASES = [
    (convolutions, EQUAL, 2.0, 1.06),
    (strided, DIFFERENT, 2.6, 3.0),
    (mixed, EQUAL, 1.31, 1.21),
    (perceptron, EQUAL, 1.14, 1.0),
    (perceptron, DIFFERENT, 1.43, 1.3),
]


@pytest.mark.parametrize(("draw", "devices", "slower", "less"), CASES)
@pytest.mark.parametrize("measured", [{}, dict.fromkeys(("pi1", "pi2", "old", "new"), QUICK)])
def test_no_allocation_of_two_layers_beats_it(
    draw: Callable[[], Graph],
    devices: Cluster,
    slower: float,
    less: float,
    measured: dict[str, Profile],
) -> None:
    graph = draw()
    bound = lower_bound(graph, devices, measured)
    every = list(every_allocation(graph, devices, spec(), parts=2, grid=2))
    found = [reached(graph, allocation, measured) for allocation in every]
    found += [reached(graph, twins, measured) for twins in replicas(every, found)]
    latency, throughput = min(f.latency for f in found), max(f.throughput for f in found)
    assert len(found) > 400
    assert bound.latency <= ROUNDED * latency
    assert throughput <= ROUNDED * bound.throughput
    if not measured:
        assert latency <= slower * bound.latency
        assert bound.throughput <= ROUNDED * less * throughput


@pytest.mark.parametrize("draw", [convolutions, mixed, perceptron])
def test_no_allocation_over_three_devices_beats_it(draw: Callable[[], Graph]) -> None:
    graph, devices = draw(), equal_cluster(3)
    bound = lower_bound(graph, devices)
    every = every_allocation(graph, devices, spec(), parts=3, grid=3)
    found = [reached(graph, allocation, {}) for allocation in islice(every, 0, None, 199)]
    assert len(found) > 100
    assert bound.latency <= ROUNDED * min(f.latency for f in found)
    assert max(f.throughput for f in found) <= ROUNDED * bound.throughput


rates = st.floats(1e4, 1e7)
prices = st.sampled_from([0.0, 1e-5, 1e-3])
profiles = st.builds(Profile, st.just("drawn"), rates, rates, prices, prices, prices)
links = st.builds(Link, st.floats(1e4, 1e9), prices)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_allocations_of_random_models_never_beat_it(
    tmp_path_factory: pytest.TempPathFactory, data: DataObject
) -> None:
    model = draw_graph(data)
    assume(runs(model))
    graph = model.imported(tmp_path_factory.mktemp("model"))
    devices = [device(f"d{n}", link=data.draw(links)) for n in range(data.draw(st.integers(1, 4)))]
    measured = {one.name: data.draw(profiles) for one in devices}
    drawn = data.draw(allocations(graph, len(devices)))
    allocation = replace(drawn, cluster=Cluster("drawn", tuple(devices), data.draw(links)))
    check(graph, allocation)
    bound = lower_bound(graph, allocation.cluster, measured)
    found = reached(graph, allocation, measured)
    assert bound.latency <= ROUNDED * found.latency
    assert found.throughput <= ROUNDED * bound.throughput


@pytest.mark.parametrize(("draw", "counts"), [(alexnet, (1, 2, 5, 12)), (vgg16, (1, 4, 12))])
@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_what_the_search_finds_is_above_it_and_near(
    draw: Callable[[], Graph], counts: tuple[int, ...], objective: str
) -> None:
    graph, model = draw(), spec(objective=objective, parity=0)
    for count in counts:
        devices = equal_cluster(count, memory=LARGE)
        bound, found = lower_bound(graph, devices), search(graph, devices, model).prediction
        assert found is not None
        latency, throughput = found.latency / bound.latency, bound.throughput / found.throughput
        assert min(latency, throughput) >= 1 / ROUNDED
        assert (latency if objective == "latency" else throughput) < 1.15 + 0.15 * count


def deep(layers: int) -> Graph:
    net = Sketch(1, 8192)
    for index in range(layers):
        net.fc(f"fc{index}", 8192)
    return net.graph()


def rows(graph: Graph, devices: Cluster) -> Iterator[Allocation]:
    """Yield allocations of layers of 8192 rows, each in equal blocks under every split."""
    names = [one.name for one in devices.devices]
    cuts = [8192 * index // len(names) for index in range(len(names) + 1)]
    shares = tuple(Share(d, *cut) for d, cut in zip(names, pairwise(cuts), strict=True))
    layers = [(layer.name,) for layer in graph.layers]
    kinds = [("output", ()), ("input", ()), ("input", shares)]
    for chosen in product(kinds, repeat=len(layers)):
        stages = (
            Stage(layer[0], layer, cast("Split", split), shares, merge=merge)
            for layer, (split, merge) in zip(layers, chosen, strict=True)
        )
        yield Allocation(devices, spec(), graph.digest, tuple(stages))


@pytest.mark.parametrize(("layers", "count", "near"), [(2, 2, 1.1), (3, 2, 1.12), (3, 1, 1.1)])
def test_far_devices_wait_for_each_other_where_they_must(
    layers: int, count: int, near: float
) -> None:
    graph, devices = deep(layers), equal_cluster(count, link=Link(94.1e6 / 8, 20e-3))
    bound = lower_bound(graph, devices).latency
    best = min(reached(graph, one, {}).latency for one in rows(graph, devices))
    assert bound <= ROUNDED * best <= near * bound


def tiles(graph: Graph, devices: Cluster, parts: int) -> Allocation:
    """Fuse all layers over the first device, in square tiles."""
    layers = tuple(layer.name for layer in graph.layers)
    side = graph.outputs[0].shape[-1]
    cuts = list(pairwise(side * index // parts for index in range(parts + 1)))
    owner = devices.devices[0].name
    shares = tuple(Share(owner, tile=tile) for tile in product(cuts, cuts))
    stage = Stage(layers[0], layers, "spatial", shares)
    return Allocation(devices, spec(), graph.digest, (stage,))


def test_tiles_that_arrive_are_computed_while_others_are_on_their_way() -> None:
    graph, devices = Sketch(1, 64, 64, 64).conv("a", 8, 1).graph(), equal_cluster(1)
    board = {"pi1": replace(QUICK, macs_per_second=24e6, weight_bytes_per_second=1e12)}
    bound, found = (
        lower_bound(graph, devices, board),
        reached(graph, tiles(graph, devices, 8), board),
    )
    assert found.latency < 1.1 * bound.latency
    assert bound.latency <= ROUNDED * found.latency


def test_rows_that_nobody_needs_are_no_work() -> None:
    graph, devices = strided(), equal_cluster(1, link=Link(1e12, 0.0))
    board = {"pi1": replace(QUICK, macs_per_second=5e7, weight_bytes_per_second=1e12)}
    bound = lower_bound(graph, devices, board)
    apart = reached(graph, tiles(graph, devices, 6), board)
    whole = reached(graph, tiles(graph, devices, 1), board)
    assert apart.latency < 0.5 * whole.latency
    assert bound.latency <= ROUNDED * apart.latency


def test_a_thousand_devices_are_no_different() -> None:
    graph = vgg16()
    few, many = (lower_bound(graph, equal_cluster(count)) for count in (100, 1000))
    assert many.latency < few.latency
    assert many.throughput > few.throughput


class TestMeasured:
    """Devices with a database of kernels."""

    @pytest.mark.parametrize("measured", [("pi1", "pi2"), ("pi2",)])
    def test_no_allocation_beats_it(self, measured: tuple[str, ...]) -> None:
        graph = convolutions()
        sessions = {
            kernels_of(works)
            for allocation in islice(
                every_allocation(graph, EQUAL, spec(), parts=2, grid=2), 0, None, 7
            )
            for works in works_of(graph, lower(graph, allocation)).values()
        }
        kernels = {one for session in sessions for one in session}
        points = [
            Point(k, 1e-5 + (1 + k.size % 3) * k.macs / 5e9) for k in sorted(kernels, key=repr)
        ]
        apart = Database("board").with_points(points)
        together = apart.with_sessions(
            Session(row, (0.7 + len(row) % 2) * apart.together(row)) for row in sessions if row[1:]
        )
        board = replace(RASPBERRY_PI_3B, database=together)
        profiles = dict.fromkeys(measured, board)
        bound = lower_bound(graph, EQUAL, profiles)
        every = every_allocation(graph, EQUAL, spec(), parts=2, grid=2)
        best = min(reached(graph, allocation, profiles).latency for allocation in every)
        assert best / 5 < bound.latency <= ROUNDED * best


def test_a_sum_that_would_leave_an_operator_to_its_readers_is_refused() -> None:
    graph = perceptron()
    shares = (Share("pi1", 0, 2048),)
    stage = Stage("both", ("b", "a"), "input", shares)
    with pytest.raises(PlanError, match="Gemm b is not only for the sum"):
        check_split(graph, stage)
