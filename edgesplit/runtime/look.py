"""What there is on a device: releases, slots, processes, and who holds the lock."""

from __future__ import annotations

from dataclasses import asdict

from edgesplit.runtime import lock
from edgesplit.runtime.program import SLOTS
from edgesplit.runtime.release import current, current_release, epoch_of, highest_epoch
from edgesplit.runtime.root import Root, Slot
from edgesplit.runtime.state import read_state


def describe(root: Root) -> dict[str, object]:
    """Return what is current and what runs here, who holds the lock, and whether systemd helps."""
    held = lock.holder(root)
    slots = {str(slot.number): describe_slot(root, slot) for slot in root.slots}
    return {
        "current": current(root),
        "epoch": highest_epoch(root),
        "lock": held.plain() if held else None,
        "slots": slots,
        "unit": any(slot.unit.exists() for slot in root.slots),
    }


def describe_slot(root: Root, slot: Slot) -> dict[str, object]:
    """Return a slot's release and processes, the executor's restarts and its last exit code."""
    state, release = read_state(slot), slot.release
    supervised = state is not None and state.supervisor.alive
    executor = state.executor if state else None
    return {
        "release": release,
        "epoch": epoch_of(root, release) if release else 0,
        "supervised": supervised,
        "running": executor is not None and executor.alive,
        "status": state.status if state and supervised else "stopped",
        "held": slot.hold.exists(),
        "supervisor": asdict(state.supervisor) if state and supervised else None,
        "executor": asdict(executor) if executor and executor.alive else None,
        "restarts": state.restarts if state else 0,
        "last_exit": state.last_exit if state else None,
    }


def slot_of(root: Root, number: int | None) -> Slot:
    """Return a slot by its number, or that of the current release.

    Raises:
        RuntimeFault: No release is current.
    """
    if number is not None:
        return root.slot(number)
    return slot_for(root, current_release(root))


def slot_for(root: Root, digest: str) -> Slot:
    """Return the slot that a release runs in."""
    return root.slot(epoch_of(root, digest) % SLOTS)
