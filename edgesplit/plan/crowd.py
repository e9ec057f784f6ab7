"""What messages cost with several devices of a cluster at work, from two rehearsals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgesplit.cost.crowd import Crowd
from edgesplit.cost.profiles import profile_of
from edgesplit.plan.correction import byte_price, message_price
from edgesplit.plan.planner import Planned

_PASSES = 4


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A plan, the seconds that its tasks took by task id, and those of a request alone."""

    planned: Planned
    tasks: Mapping[int, float]
    latency: float


def crowd_of(thin: Rehearsed, thick: Rehearsed) -> Crowd:
    """Return the prices with which a plan of small messages and one of large ones take so long.

    Each says little of the other's price, so that a few passes find both.
    """
    message = byte = 0.0
    for _ in range(_PASSES):
        message = message_price(_with(thin, 0.0, byte), thin.tasks, thin.latency)
        byte = byte_price(_with(thick, message, 0.0), thick.tasks, thick.latency)
    return Crowd(len(thin.planned.lowered.table.devices), message, byte)


def _with(seen: Rehearsed, message: float, byte: float) -> Planned:
    planned = seen.planned
    prices = {
        device.name: replace(
            profile_of(device, planned.measured),
            message_seconds=message,
            byte_seconds=byte,
            crowds=(),
        )
        for device in planned.allocation.cluster.devices
    }
    return replace(planned, measured=prices)
