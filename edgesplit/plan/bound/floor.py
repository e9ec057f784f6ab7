"""What a device can't be faster than: the only place where the bound looks at prices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgesplit.cost.profiles import GENERIC, profile_of
from edgesplit.spec.cluster import Cluster, Device, Link


@dataclass(frozen=True, slots=True)
class Floor:
    """The best rates and least prices of a device.

    No operator of a task takes less than `macs / macs_per_second`, nor less than
    `weight_bytes / weight_bytes_per_second`; no task less than `step_seconds` beside its operators;
    no end of a message less than `message_seconds`.
    """

    macs_per_second: float
    weight_bytes_per_second: float
    step_seconds: float
    message_seconds: float
    link: Link

    @property
    def reach(self) -> float:
        """Seconds that a message takes at least at this end: its price, and the link's latency."""
        return self.message_seconds + self.link.latency


def floors(cluster: Cluster) -> tuple[Floor, ...]:
    """Return the floor of each device, in the order of the cluster."""
    return tuple(_floor(device) for device in cluster.devices)


def gateway_floor(cluster: Cluster) -> Floor:
    """Return the floor of the gateway, whose own arithmetic is free."""
    return Floor(float("inf"), float("inf"), 0.0, GENERIC.message_seconds, cluster.gateway_link)


def least_hop(devices: Iterable[Floor]) -> float:
    """Return the least seconds from the end of a task to the first operator of one elsewhere."""
    known = list(devices)
    ends = sorted(device.reach for device in known)[:2]
    return sum(ends) + min(device.step_seconds for device in known)


def _floor(device: Device) -> Floor:
    profile = profile_of(device)
    return Floor(
        profile.macs_per_second,
        profile.weight_bytes_per_second,
        profile.step_seconds,
        profile.message_seconds,
        device.link,
    )
