"""The systemd user unit that supervises a device's executor, from the template."""

from __future__ import annotations

from string import Template

from edgesplit.files import template
from edgesplit.spec.cluster import Device


def unit_text(device: Device) -> str | None:
    """Return the unit for the verb `start`, with the places that the device itself fills in.

    A local device has none: it runs beside its controller, not as a service of the user's.
    """
    if device.connection == "local":
        return None
    text = Template(template("edgesplit.service").decode())
    return text.safe_substitute(memory=_memory(device.memory))


def _memory(limit: int) -> str:
    """Return the lines of a limit in bytes; the kernel begins to reclaim at nine tenths of it."""
    return f"MemoryHigh={limit * 9 // 10}\nMemoryMax={limit}\nMemorySwapMax=0"
