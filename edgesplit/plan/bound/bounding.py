"""The bound itself, for latency and for throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Prediction
from edgesplit.plan.bound.floor import Floor, floors, gateway_floor, least_hop, least_step
from edgesplit.plan.bound.gates import Passage, passage
from edgesplit.plan.bound.necessary import input_bytes, necessary
from edgesplit.plan.bound.waiting import crowd, least_seconds
from edgesplit.plan.bound.work import Demand, Prices, demands, prices
from edgesplit.spec.cluster import Cluster

Objective = Literal["latency", "throughput"]

_MIXTURES = (0.0, 0.5, 1.0)
"""Ways to price devices of several kinds: the bound of each is valid, and the best is kept."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What the simulator reports of no allocation.

    None has less `latency`, in seconds, and none more `throughput`, in requests a second.
    """

    latency: float
    throughput: float

    def gap(self, prediction: Prediction, objective: Objective) -> float:
        """Return how many times better than predicted a plan might be; 1 if it is the best."""
        if objective == "latency":
            return prediction.latency / self.latency if self.latency else inf
        return self.throughput / prediction.throughput


def lower_bound(graph: Graph, cluster: Cluster, measured: Measured = NOTHING) -> Bound:
    """Return the bound over every allocation of a model on a cluster that can be expressed."""
    needed = necessary(graph)
    work = demands(graph, needed)
    devices, gateway = floors(cluster, measured), gateway_floor(cluster)
    priced = [prices(devices, mixture) for mixture in _MIXTURES]
    order = passage(graph, work)
    feeding = input_bytes(graph, needed) / _input_rate(devices, gateway)
    working = max(_working(order, work, price, devices) for price in priced)
    busy = max(_busy(work, price, devices) for price in priced)
    # Without heavy operators the gateway may have its answer by itself.
    around = _around(graph, devices, gateway) if work else 0.0
    ends = 2 * gateway.profile.end_seconds if work else 0.0
    limit = max(busy, feeding, ends)
    return Bound(around + max(working, feeding), 1 / limit if limit else inf)


def _busy(work: Mapping[str, Demand], price: Prices, devices: Sequence[Floor]) -> float:
    """Return the least time that the busiest device computes for a request, in the mean.

    Replicas share the requests: all devices together need do no more than one step for each.
    """
    step = min(p * device.step for p, device in zip(price.seconds, devices, strict=True))
    return (price.of(work.values()) + step) / sum(price.seconds)


def _around(graph: Graph, devices: Sequence[Floor], gateway: Floor) -> float:
    """Return the least time before the first operator of a request and behind the last."""
    way = min(device.reach for device in devices) + gateway.reach
    return way + least_step(devices) + (way if _waits(graph) else 0.0)


def _waits(graph: Graph) -> bool:
    """Tell whether no task can begin before something of the request is there."""

    def waits(node_inputs: Sequence[str], op: str) -> bool:
        constant = [graph.values[name].constant for name in node_inputs if name]
        return not (any(constant) if op == "Concat" else all(constant))

    return all(waits(node.inputs, node.op) for node in graph.nodes)


def _input_rate(devices: Sequence[Floor], gateway: Floor) -> float:
    """Return the bytes a second in which the request can reach the devices."""
    return min(gateway.link.bandwidth, sum(device.link.bandwidth for device in devices))


def _working(
    order: Passage, work: Mapping[str, Demand], price: Prices, devices: Sequence[Floor]
) -> float:
    """Return the least time from the first operator to the last."""
    gates = [*((name,) for name in order.gates), ()]
    names = [part for pair in zip(order.bodies, gates, strict=True) for part in pair][:-1]
    works = [price.of(work[name] for name in part) for part in names]
    return least_seconds(works, crowd(price.seconds), least_hop(devices))
