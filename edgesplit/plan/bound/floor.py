"""What a device can't be faster than: the only place where the bound looks at prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgesplit.cost.database import ANY, Database
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


@dataclass(frozen=True, slots=True)
class Floor:
    """The best that a device can do.

    No task takes less than `step` seconds beside its operators, and no end of a message less than
    `end`, wherever that is spent.
    """

    profile: Profile
    link: Link

    @property
    def step(self) -> float:
        """Seconds that a task takes beside its operators."""
        return self.profile.step_seconds

    @property
    def reach(self) -> float:
        """Seconds that a message takes at least at this end: its price, and the link's latency."""
        return self.profile.end_seconds + self.link.latency

    def lines(self, operator: Kernel) -> tuple[Line, Line]:
        """Return two lines that no share of an operator is below, arithmetic's and weights'."""
        if self.profile.database is None:
            by_mac = Line(mac=1 / self.profile.macs_per_second)
            return by_mac, Line(weight=1 / self.profile.weight_bytes_per_second)
        line = _measured(self.profile.database, self.profile.scale, operator)
        return line, line


def floors(cluster: Cluster, measured: Measured = NOTHING) -> tuple[Floor, ...]:
    """Return the floor of each device, in the order of the cluster."""
    return tuple(Floor(profile_of(device, measured), device.link) for device in cluster.devices)


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


def _measured(database: Database, scale: float, operator: Kernel) -> Line:
    """Return the fitted line, times the least correction that a share may get, in any session.

    Shares differ in channels, so that any measured form with the same attributes may be theirs;
    one that was not measured is not corrected.
    """
    rate = database.rates.get(operator.op) or database.rates[ANY]
    ratios = (
        point.seconds / rate.seconds(point.kernel)
        for point in database.points
        if _alike(point.kernel, operator)
    )
    joints = (
        database.joint(session)
        for session in database.sessions
        if any(_alike(kernel, operator) for kernel in session.kernels)
    )
    factor = scale * min((1.0, *ratios)) * min((1.0, *joints))
    return Line(rate.mac * factor, rate.weight * factor, rate.moved * factor, rate.start * factor)


def _alike(kernel: Kernel, operator: Kernel) -> bool:
    return kernel.op == operator.op and _attributes(kernel) == _attributes(operator)


def _attributes(kernel: Kernel) -> str:
    """Return the form of a kernel without its channels."""
    return kernel.form.partition("from ")[0].strip()
