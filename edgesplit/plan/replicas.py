"""Replicas: several groups of devices, each with a complete way through the model of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from statistics import mean

from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Prediction, Stage
from edgesplit.plan.devices import kind, slowness
from edgesplit.plan.predict import predict
from edgesplit.plan.relabel import in_file_order, renamed
from edgesplit.spec.cluster import Cluster, Device

Strategy = Callable[[Cluster], Allocation]
"""Plans the model over a cluster; raises PlanError where it can't."""

LARGEST = 16
"""Devices of a group, at most, where a cluster is shared out."""

_Group = tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """A group's way through the model, and what it is expected to reach alone."""

    stages: tuple[Stage, ...]
    alone: Prediction


def replicated(
    graph: Graph, cluster: Cluster, strategy: Strategy, measured: Measured = NOTHING
) -> Allocation:
    """Return the plan for the whole cluster, or replicas where they let more requests pass.

    Tries every number of groups that the window of open requests can keep busy. Each group is
    planned by the strategy for itself; one that can't hold the model is left out.

    Raises:
        PlanError: The strategy finds nothing for the whole cluster.
    """
    best = strategy(cluster)
    window, groups = best.model.window, _Groups(cluster, strategy, measured)
    found = [groups.parts(number) for number in _numbers(best)]
    several = [parts for parts in found if len(parts) > 1]
    for parts in sorted(several, key=lambda parts: _hoped(parts, window), reverse=True):
        if _hoped(parts, window) < best.predicted.throughput:
            break
        stages, *replicas = groups.side_by_side(parts)
        rival = replace(best, stages=stages, replicas=tuple(replicas))
        rival = replace(rival, prediction=predict(graph, rival, measured))
        best = min(best, rival, key=_rank)
    return best


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
        self._strategy = strategy
        self._measured = measured
        self._known: dict[tuple[str, ...], tuple[_Group, Allocation | None]] = {}

    def parts(self, number: int) -> list[_Part]:
        """Return the ways of those of so many groups that can hold the model."""
        groups = shared_out(self._cluster.devices, number, self._measured)
        return [part for group in groups if (part := self._part(group))]

    def side_by_side(self, parts: Sequence[_Part]) -> Iterator[tuple[Stage, ...]]:
        """Yield the ways with their devices in the order of the cluster file."""
        flat = list(chain.from_iterable(part.stages for part in parts))
        rest = iter(in_file_order(flat, self._cluster.devices, (), self._measured))
        yield from (tuple(islice(rest, len(part.stages))) for part in parts)

    def _part(self, group: _Group) -> _Part | None:
        group = tuple(sorted(group, key=self._kind))
        kinds = tuple(map(self._kind, group))
        if kinds not in self._known:
            self._known[kinds] = group, self._planned(group)
        first, plan = self._known[kinds]
        if plan is None:
            return None
        names = {one.name: other.name for one, other in zip(first, group, strict=True)}
        return _Part(tuple(renamed(stage, names) for stage in plan.stages), plan.predicted)

    def _kind(self, device: Device) -> str:
        return repr((kind(device, self._measured), device.connection))

    def _planned(self, group: _Group) -> Allocation | None:
        members = {device.name for device in group}
        devices = tuple(device for device in self._cluster.devices if device.name in members)
        try:
            return self._strategy(replace(self._cluster, devices=devices))
        except PlanError:
            return None


def _numbers(whole: Allocation) -> Iterator[int]:
    """Yield the numbers of groups to try; none where pins say which devices do what."""
    if any(pin.devices or isinstance(pin.parity, tuple) for pin in whole.model.pins):
        return
    count = len(whole.cluster.devices)
    yield from range(max(2, -(-count // LARGEST)), min(count, whole.model.window) + 1)


def _hoped(parts: Sequence[_Part], window: int) -> float:
    """Return the most requests a second: what groups reach together if nothing is shared."""
    rate = sum(part.alone.throughput for part in parts)
    return min(rate, window / mean(part.alone.latency for part in parts))


def _rank(allocation: Allocation) -> tuple[float, float, int]:
    """Return what to compare by; rates that six digits don't tell apart are the same."""
    predicted = allocation.predicted
    return -float(f"{predicted.throughput:.6g}"), predicted.latency, len(predicted.devices)
