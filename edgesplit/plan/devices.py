"""Devices as plans see them: which are interchangeable, and which are fast."""

from __future__ import annotations

from collections.abc import Iterable

from edgesplit.cost.profiles import NOTHING, Measured, profile_of
from edgesplit.spec.cluster import Device


def kind(device: Device, measured: Measured = NOTHING) -> tuple[object, ...]:
    """Return all of a device that plans depend on; devices of one kind are interchangeable."""
    return (device.memory, profile_of(device, measured), device.pace, device.link)


def fastest_first(devices: Iterable[Device], measured: Measured = NOTHING) -> tuple[Device, ...]:
    """Return devices from the fastest to the slowest, those as fast in the order given."""
    return tuple(sorted(devices, key=lambda device: slowness(device, measured)))


def slowness(device: Device, measured: Measured = NOTHING) -> tuple[float, float, int]:
    """Return a key that sorts devices from the fastest to the slowest."""
    profile = profile_of(device, measured)
    return (-profile.macs_per_second, -profile.weight_bytes_per_second, -device.memory)
