"""Devices as plans see them: which are interchangeable, and which are fast."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

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


def leading_groups(
    devices: Sequence[Device], sizes: Sequence[int], measured: Measured = NOTHING
) -> Iterator[tuple[int, ...]]:
    """Yield groups of devices by number, each from its fastest to its slowest.

    Of each leading part of the row the fastest ones, so that the groups of a row are among those
    of any row that has more devices at its end: a device more can't make a plan slower. Groups
    that differ in names only come once.
    """
    kinds = [kind(device, measured) for device in devices]
    order: list[tuple[tuple[float, float, int], int]] = []
    seen: set[frozenset[tuple[object, int]]] = set()
    for newest, device in enumerate(devices):
        entry = (slowness(device, measured), newest)
        insort(order, entry)
        first = order.index(entry) + 1
        for size in (size for size in sizes if first <= size <= len(order)):
            group = tuple(index for _, index in order[:size])
            counted = frozenset(Counter(kinds[index] for index in group).items())
            if counted not in seen:
                seen.add(counted)
                yield group
