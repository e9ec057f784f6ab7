"""Plans on measured costs: what was measured decides, and pacing multiplies it."""

from __future__ import annotations

from math import prod

import pytest
from plans import database, equal_cluster, spec

from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Prediction
from edgesplit.plan.measured import measured_profiles
from edgesplit.plan.procedure1 import single
from edgesplit.plan.search import search


def area(tile: tuple[tuple[int, int], ...]) -> int:
    return prod(hi - lo for lo, hi in tile)


def predicted(graph: Graph, factor: float, **changes: object) -> Prediction:
    devices = equal_cluster(3, **changes)
    found = database(graph, factor)
    measured = measured_profiles(graph, devices, {one.name: found for one in devices.devices})
    prediction = single(graph, devices, spec(), measured).prediction
    assert prediction is not None
    return prediction


def test_a_board_twice_as_slow_as_published_is_predicted_so(alex: Graph) -> None:
    published = single(alex, equal_cluster(3), spec()).prediction
    assert published is not None
    (once,), (twice,) = published.devices, predicted(alex, 2.0).devices
    assert twice.compute == pytest.approx(2 * once.compute, rel=0.05)


def test_a_paced_device_takes_what_its_board_is_published_to_take(alex: Graph) -> None:
    published = single(alex, equal_cluster(3), spec()).prediction
    assert published is not None
    (board,), (paced,) = (
        published.devices,
        predicted(alex, 0.05, pace="raspberry-pi-3b").devices,
    )
    assert paced.compute == pytest.approx(board.compute, rel=0.05)


def test_only_devices_that_were_measured_change(alex: Graph) -> None:
    devices = equal_cluster(2)
    found = measured_profiles(alex, devices, {"pi2": database(alex, 0.5)})
    assert list(found) == ["pi2"]
    (used,) = single(alex, devices, spec(), found).stages
    assert used.devices == ("pi2",)


def test_the_search_shares_out_by_measured_speed(vgg: Graph) -> None:
    devices = equal_cluster(4)
    slow, fast = database(vgg, 2.0), database(vgg, 1.0)
    each = {one.name: fast if one.name == "pi3" else slow for one in devices.devices}
    found = search(vgg, devices, spec(parity=0), measured_profiles(vgg, devices, each))
    areas = {share.device: area(share.tile) for share in found.stages[0].shares}
    assert areas["pi3"] > 1.6 * max(own for name, own in areas.items() if name != "pi3")
