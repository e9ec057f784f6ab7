"""From a device to its host."""

from __future__ import annotations

from edgesplit.deploy.hosts import Ask, Host
from edgesplit.deploy.local import LocalHost
from edgesplit.spec.cluster import Device


def open_host(device: Device, ask: Ask | None = None) -> Host:
    """Return the host of a device; SSH connects on first use."""
    if device.connection == "local":
        return LocalHost(device.name)
    from edgesplit.deploy.ssh import SshHost  # noqa: PLC0415 - Fabric costs 0.4 s

    return SshHost(device, ask)
