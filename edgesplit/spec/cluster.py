"""What the user has: devices and links, as the planner and the deployer see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal


@dataclass(frozen=True, slots=True)
class Link:
    """A network link: `bandwidth` in payload bytes per second, `latency` in seconds one way."""

    bandwidth: float
    latency: float


@dataclass(frozen=True, slots=True)
class Ssh:
    """How to log in to a device; what is None is left to the user's ssh configuration."""

    user: str | None = None
    port: int | None = None
    identity: str | None = None
    known_hosts: str | None = None
    config: str | None = None
    host_keys: Literal["ask", "yes", "accept-new"] = "yes"


@dataclass(frozen=True, slots=True)
class Device:
    """One computer of the cluster.

    `host` is the name or address to log in to, `address` the one on which peers reach its
    `port`. `memory` is the budget of the executor in bytes, `cores` its ONNX Runtime threads.
    `pace` slows the device down for emulation: a factor over this machine, or the name of a
    profile to imitate; None runs at full speed. `root` is the folder edgesplit owns there.
    """

    name: str
    connection: Literal["local", "ssh"]
    host: str
    address: str
    port: int
    profile: str
    memory: int
    cores: int
    link: Link
    pace: float | str | None = None
    python: str | None = None
    root: str | None = None
    ssh: Ssh = field(default_factory=Ssh)


@dataclass(frozen=True)
class Cluster:
    """Devices in the order of the file, each with its own link to the common network.

    `gateway_link` is the link of the machine that sends requests.
    """

    name: str
    devices: tuple[Device, ...]
    gateway_link: Link

    def device(self, name: str) -> Device:
        """Return the device of this name; KeyError where there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[str, Device]:
        return {device.name: device for device in self.devices}
