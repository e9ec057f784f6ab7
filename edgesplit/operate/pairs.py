"""Pairs of devices whose link stands for all links between their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from edgesplit.cost.database import Database
from edgesplit.dataflow.table import GATEWAY
from edgesplit.deploy.hosts import Ask
from edgesplit.operate.links import Passes, measure_pair
from edgesplit.operate.prepare import Progress
from edgesplit.operate.profile import profiles_folder
from edgesplit.plan.databases import class_of, load_databases, save_database
from edgesplit.spec.cluster import Cluster, Device, Link

_CLAIM = 1.25
"""So many times what was measured a cluster file may claim before it is told of."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A link as it was measured between two ends, and as the cluster file states it.

    The measured latency holds what both ends do for a message, the stated one doesn't.
    """

    ends: tuple[str, str]
    link: Link
    stated: Link

    @property
    def overstated(self) -> bool:
        """Whether the cluster file claims much more bandwidth than there is."""
        return self.stated.bandwidth > self.link.bandwidth * _CLAIM


def unmeasured(
    cluster: Cluster, databases: Mapping[str, Database], *, again: bool = False
) -> tuple[tuple[Device, Device], ...]:
    """Return the pairs of devices whose link would tell something new, or all of them `again`."""
    return tuple(
        (one, other)
        for one, other in _pairs(cluster)
        if again or class_of(other) not in _links(databases.get(class_of(one)), cluster)
    )


def measure_links(
    cluster: Cluster,
    pairs: tuple[tuple[Device, Device], ...],
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    force: bool = False,
) -> tuple[Measured, ...]:
    """Measure links, one after the other, and keep them in the databases of their classes.

    Raises:
        EdgesplitError: As of `measure_pair`; what was measured before that is kept.
    """
    found: list[Measured] = []
    for pair in pairs:
        told = measure_pair(cluster, pair, progress, ask, force=force)
        databases = load_databases(profiles_folder())
        for database in learnt(cluster, pair, told, databases):
            save_database(database, profiles_folder())
        found += _measured(cluster, pair, told)
    return tuple(found)


def learnt(
    cluster: Cluster,
    pair: tuple[Device, Device],
    told: Passes,
    databases: Mapping[str, Database],
) -> tuple[Database, ...]:
    """Return the databases of a pair's classes with what their link showed.

    What a message's ends do is what the latency has beyond the stated one, and the same at both.
    Of what was measured before, the least counts: noise only ever adds.
    """
    # On one machine there is no wire, whatever its links are taken for.
    local = all(device.connection == "local" for device in pair)
    end = max(0.0, told.there.latency - (0.0 if local else _stated(*pair).latency)) / 2
    classes = {class_of(device): device for device in pair}
    return tuple(
        replace(
            (old := databases.get(name, Database(name))),
            step=_least(old.step, told.step[device.name]),
            message=_least(old.message, end),
            links={
                **old.links,
                cluster.name: {
                    **_links(old, cluster),
                    **dict.fromkeys(classes.keys() - {name} or {name}, told.there),
                    GATEWAY: told.entry,
                },
            },
        )
        for name, device in classes.items()
    )


def _pairs(cluster: Cluster) -> Iterator[tuple[Device, Device]]:
    """Yield two devices of each class that has two, and of each class and the next one."""
    first: dict[str, Device] = {}
    second: dict[str, Device] = {}
    for device in cluster.devices:
        name = class_of(device)
        (second if name in first else first).setdefault(name, device)
    yield from ((first[name], device) for name, device in second.items())
    yield from pairwise(first.values())


def _links(database: Database | None, cluster: Cluster) -> Mapping[str, Link]:
    return database.links.get(cluster.name, {}) if database else {}


def _least(old: float | None, new: float) -> float:
    """Return the smaller one, to six digits: more than a clock knows."""
    return float(f"{new if old is None else min(old, new):.6g}")


def _measured(cluster: Cluster, pair: tuple[Device, Device], told: Passes) -> list[Measured]:
    one, other = pair
    gate = Link(
        min(one.link.bandwidth, cluster.gateway_link.bandwidth),
        one.link.latency + cluster.gateway_link.latency,
    )
    return [
        Measured((one.name, other.name), told.there, _stated(one, other)),
        Measured((GATEWAY, one.name), told.entry, gate),
    ]


def _stated(one: Device, other: Device) -> Link:
    return Link(
        min(one.link.bandwidth, other.link.bandwidth), one.link.latency + other.link.latency
    )
