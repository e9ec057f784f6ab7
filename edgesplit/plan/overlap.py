"""Whether a cluster can hold two releases at once: the one that serves and the one to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesplit.plan.allocation import Prediction
from edgesplit.spec.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Excess:
    """A device that can't hold two releases: bytes of the one, of the other, and its budget."""

    device: str
    old: int
    new: int
    budget: int


def needed_memory(prediction: Prediction | None) -> dict[str, int]:
    """Return the bytes that each device's budget must have: peak, mapped weights and reserve.

    Nothing is known of an allocation without a prediction; the mapping is empty then.
    """
    devices = prediction.devices if prediction else ()
    return {one.device: one.memory + one.weights + one.reserved for one in devices}


def excesses(
    old: Mapping[str, int], new: Mapping[str, int], cluster: Cluster
) -> tuple[Excess, ...]:
    """Return the devices that can't hold both releases; where there is one, the old drains first.

    Args:
        old: Bytes by device of the release that runs; a device that it doesn't use is left out.
        new: Bytes by device of the release to come.
        cluster: The devices of the release to come, with their budgets.
    """
    both = (device for device in cluster.devices if device.name in old and device.name in new)
    return tuple(
        Excess(device.name, old[device.name], new[device.name], device.memory)
        for device in both
        if old[device.name] + new[device.name] > device.memory
    )
