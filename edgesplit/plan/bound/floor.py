"""What a device can't be faster than: the only place where the bound looks at prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgesplit.cost.database import Database
from edgesplit.cost.kernel import Kernel
from edgesplit.cost.profiles import GENERIC, NOTHING, Measured, Profile, profile_of
from edgesplit.spec.cluster import Cluster, Link


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds that a share of an operator takes at least, in proportion to what it does.

    They are for each multiply-accumulate, byte of weights and byte of the output; whoever has a
    share of it pays `start` once.
    """

    mac: float = 0.0
    weight: float = 0.0
    made: float = 0.0
    start: float = 0.0


Least = Mapping[tuple[str, str], float]
"""The least part of its line that a share may take, by operator and attributes."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The best that a device can do.

    No task takes less than `step` seconds beside its operators, and no end of a message less than
    `end`, wherever that is spent.
    """

    profile: Profile
    link: Link
    least: Least = field(default_factory=dict, compare=False)

    @property
    def step(self) -> float:
        """Seconds that a task takes beside its operators."""
        return self.profile.step_seconds

    @property
    def reach(self) -> float:
        """Seconds that a message takes at least at this end: its price, and the link's latency."""
        crowds = (crowd.message for crowd in self.profile.crowds)
        message = min(crowds, default=self.profile.message_seconds)
        return message + self.profile.held_seconds + self.link.latency

    def lines(self, operator: Kernel) -> tuple[Line, Line]:
        """Return two lines that no share of an operator is below, arithmetic's and weights'."""
        if self.profile.database is None:
            by_mac = Line(mac=1 / self.profile.macs_per_second)
            return by_mac, Line(weight=1 / self.profile.weight_bytes_per_second)
        line = _measured(self.profile, self.profile.database, self.least, operator)
        return line, line


def floors(cluster: Cluster, measured: Measured = NOTHING) -> tuple[Floor, ...]:
    """Return the floor of each device, in the order of the cluster."""
    profiles = [profile_of(device, measured) for device in cluster.devices]
    least = {one.database: _least(one.database) for one in profiles}
    return tuple(
        Floor(one, device.link, least[one.database])
        for one, device in zip(profiles, cluster.devices, strict=True)
    )


def gateway_floor(cluster: Cluster) -> Floor:
    """Return the floor of the gateway, as far as messages go: its arithmetic is free."""
    return Floor(GENERIC, cluster.gateway_link)


def least_hop(devices: Sequence[Floor]) -> float:
    """Return the least seconds from an operator to one that needs it on another device."""
    ends = sorted(device.reach for device in devices)[:2]
    return sum(ends) + least_step(devices)


def least_step(devices: Iterable[Floor]) -> float:
    """Return the least seconds that any task takes beside its operators."""
    return min(device.step for device in devices)


def _measured(profile: Profile, database: Database, least: Least, operator: Kernel) -> Line:
    """Return the fitted line, times the least that a share may take of what it says."""
    rate = database.line(operator)
    factor = profile.scale * least.get(_kind(operator), 1.0)
    return Line(rate.mac * factor, rate.weight * factor, rate.moved * factor, rate.start * factor)


def _least(database: Database | None) -> Least:
    """Return the least correction of each kind of operator, times the least in any session.

    Shares differ in channels, so that any measured form with the same attributes may be theirs;
    one that was not measured is not corrected.
    """
    if database is None:
        return {}
    alone: defaultdict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    joint: defaultdict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for point in database.points:
        ratio = point.seconds / database.line(point.kernel).seconds(point.kernel)
        kind = _kind(point.kernel)
        alone[kind] = min(alone[kind], ratio)
    for session in database.sessions:
        ratio = database.joint(session)
        for kind in map(_kind, session.kernels):
            joint[kind] = min(joint[kind], ratio)
    return {kind: alone[kind] * joint[kind] for kind in {*alone, *joint}}


def _kind(kernel: Kernel) -> tuple[str, str]:
    """Return the operator, and the form of a kernel without its channels."""
    return kernel.op, kernel.form.partition("from ")[0].strip()
