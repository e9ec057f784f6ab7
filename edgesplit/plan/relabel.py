"""Device order: interchangeable devices take their places in the order of the cluster file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.devices import kind
from edgesplit.spec.cluster import Device


def in_file_order(
    stages: Sequence[Stage],
    devices: Sequence[Device],
    pinned: Collection[str],
    measured: Measured = NOTHING,
) -> tuple[Stage, ...]:
    """Return the same stages with devices of one kind swapped, so that they appear in file order.

    Devices appear stage by stage, those of data shares before those of parity. Costs don't
    change: devices of one kind differ in name and address only.

    Args:
        stages: Stages in execution order.
        devices: The cluster's devices, in the order of its file.
        pinned: Names of devices that stay where they are.
        measured: What was measured of them.
    """
    free = [device for device in devices if device.name not in pinned]
    kinds = {device.name: (kind(device, measured), device.connection) for device in free}
    waiting: dict[object, Iterator[str]] = {
        which: iter([name for name, other in kinds.items() if other == which])
        for which in kinds.values()
    }
    used = dict.fromkeys(chain.from_iterable(stage.devices for stage in stages))
    names = {name: next(waiting[kinds[name]]) if name in kinds else name for name in used}
    return tuple(renamed(stage, names) for stage in stages)


def renamed(stage: Stage, names: Mapping[str, str]) -> Stage:
    """Return a stage on other devices."""
    return replace(
        stage,
        shares=_with_names(stage.shares, names),
        parity=tuple(names[name] for name in stage.parity),
        merge=_with_names(stage.merge, names),
    )


def _with_names(shares: Sequence[Share], names: Mapping[str, str]) -> tuple[Share, ...]:
    return tuple(replace(share, device=names[share.device]) for share in shares)
