"""Replicas: several groups of devices, each with a complete way through the model of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Stage
from edgesplit.plan.devices import kind, slowness
from edgesplit.plan.predict import predict
from edgesplit.plan.relabel import in_file_order, renamed
from edgesplit.spec.cluster import Cluster, Device

Strategy = Callable[[Cluster], Allocation]
"""Plans the model over a cluster; raises PlanError where it can't."""

LARGEST = 16
"""Devices of a group, at most, where a cluster is shared out."""

_ALIKE = 0.99
"""Share of the best throughput that counts as as good, so that the latency decides."""

Variants = tuple[tuple[Stage, ...], ...]
_Group = tuple[Device, ...]


def replicated(
    graph: Graph, cluster: Cluster, strategy: Strategy, measured: Measured = NOTHING
) -> Allocation:
    """Return the plan for the whole cluster, or replicas where they let more requests pass.

    Tries every number of groups that the window of open requests can keep busy. Each group is
    planned by the strategy for itself; one that can't hold the model is left out.

    Raises:
        PlanError: The strategy finds nothing for the whole cluster.
    """
    whole = strategy(cluster)
    groups = _Groups(cluster, strategy, measured)
    found = dict.fromkeys(groups.variants(number) for number in _numbers(cluster, whole))

    def judged(ways: Variants) -> Allocation:
        stages, *replicas = ways
        allocation = replace(whole, stages=stages, replicas=tuple(replicas))
        return replace(allocation, prediction=predict(graph, allocation, measured))

    candidates = [whole, *(judged(ways) for ways in found if len(ways) > 1)]
    enough = _ALIKE * max(map(_rate, candidates))
    able = (candidate for candidate in candidates if _rate(candidate) >= enough)
    return min(able, key=lambda candidate: candidate.predicted.latency)


def shared_out(
    devices: Sequence[Device], number: int, measured: Measured = NOTHING
) -> list[_Group]:
    """Return so many groups of devices, about as fast as each other.

    Each device in turn joins the group that is slowest so far, so that a device more at the end
    changes no group but its own: it can't make a plan slower.
    """
    groups: list[_Group] = [()] * number
    speeds = [0.0] * number
    for device in devices:
        slowest = speeds.index(min(speeds))
        speeds[slowest] -= slowness(device, measured)[0]
        groups[slowest] += (device,)
    return groups


class _Groups:
    """Plans groups; those of the same kinds of devices only once."""

    def __init__(self, cluster: Cluster, strategy: Strategy, measured: Measured) -> None:
        self._cluster = cluster
        self._measured = measured
        self._strategy = strategy
        self._known: dict[tuple[str, ...], tuple[_Group, tuple[Stage, ...]]] = {}

    def variants(self, number: int) -> Variants:
        """Return the stages of each of so many groups that can hold the model."""
        devices, measured = self._cluster.devices, self._measured
        groups = shared_out(devices, number, measured)
        planned = [stages for group in groups if (stages := self._stages(group))]
        flat = in_file_order(list(chain.from_iterable(planned)), devices, (), measured)
        rest = iter(flat)
        return tuple(tuple(islice(rest, len(stages))) for stages in planned)

    def _stages(self, group: _Group) -> tuple[Stage, ...]:
        group = tuple(sorted(group, key=self._kind))
        kinds = tuple(map(self._kind, group))
        if kinds not in self._known:
            self._known[kinds] = group, self._planned(group)
        first, stages = self._known[kinds]
        names = {one.name: other.name for one, other in zip(first, group, strict=True)}
        return tuple(renamed(stage, names) for stage in stages)

    def _kind(self, device: Device) -> str:
        return repr((kind(device, self._measured), device.connection))

    def _planned(self, group: _Group) -> tuple[Stage, ...]:
        members = {device.name for device in group}
        devices = tuple(device for device in self._cluster.devices if device.name in members)
        try:
            return self._strategy(replace(self._cluster, devices=devices)).stages
        except PlanError:
            return ()


def _numbers(cluster: Cluster, whole: Allocation) -> Iterator[int]:
    """Yield the numbers of groups to try; none where pins say which devices do what."""
    if any(pin.devices or isinstance(pin.parity, tuple) for pin in whole.model.pins):
        return
    count = len(cluster.devices)
    yield from range(max(2, -(-count // LARGEST)), min(count, whole.model.window) + 1)


def _rate(allocation: Allocation) -> float:
    """Return the requests a second that devices and the window of open requests allow."""
    prediction = allocation.predicted
    return min(prediction.throughput, allocation.model.window / prediction.latency)
