"""The sections of a cluster file, as they are written."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from edgesplit.spec import fields
from edgesplit.spec.validate import Section


class LinkSection(Section):
    """The network link of a machine."""

    bandwidth: fields.Rate | None = Field(
        default=None, description="What the link carries each way."
    )
    latency: fields.Duration | None = Field(
        default=None, description="Time of a small message, one way."
    )


class SshSection(Section):
    """How to log in; what is left out is left to your ssh configuration."""

    user: fields.User | None = Field(default=None, description="Login name on the device.")
    port: fields.PortNumber | None = Field(default=None, description="Port of the ssh server.")
    identity: fields.Text | None = Field(
        default=None, description="Private key file on this machine."
    )
    known_hosts: fields.Text | None = Field(default=None, description="File of trusted host keys.")
    config: fields.Text | None = Field(default=None, description="ssh configuration file to read.")
    host_keys: fields.HostKeys | None = Field(
        default=None,
        description="Unknown host keys: refused (yes), asked about (ask) or stored (accept-new).",
    )


class DeviceSection(Section):
    """One device, or what all devices have in common."""

    connection: fields.Connection | None = Field(
        default=None, description="`ssh` (default), or `local` for a process on this machine."
    )
    profile: fields.Profile | None = Field(
        default=None,
        description="The board: what it computes, and what it has where nothing is said.",
    )
    host: fields.Host | None = Field(default=None, description="Name or address to log in to.")
    address: fields.Host | None = Field(
        default=None, description="Where the other devices reach it; the host by default."
    )
    memory: fields.Size | None = Field(
        default=None, description="Memory that edgesplit may use there."
    )
    cores: Annotated[int, BeforeValidator(fields.whole(1, 1024))] | None = Field(
        default=None, description="Cores that edgesplit may use there."
    )
    port: fields.PortNumber | None = Field(
        default=None,
        description=(
            "Port that peers connect to; the next one serves while a release is replaced. "
            "Under `defaults`, local devices count up from it by two."
        ),
    )
    link: LinkSection | None = Field(default=None, description="Its link to the common network.")
    ssh: SshSection | None = Field(default=None, description="How to log in.")
    pace: fields.Pace | None = Field(
        default=None, description="Slow it down for emulation: a factor, or the name of a board."
    )
    python: fields.Text | None = Field(
        default=None, description="Python on the device that already has what is needed."
    )
    root: fields.Text | None = Field(
        default=None, description="Folder on the device for edgesplit."
    )


class GatewaySection(Section):
    """The machine that sends requests."""

    link: LinkSection | None = Field(default=None, description="Its link to the devices' network.")


class ClusterFile(Section):
    """The devices that a model may be spread over."""

    name: fields.Name = Field(description="Name of the cluster.")
    defaults: DeviceSection = Field(
        default=DeviceSection(), description="What every device has unless it says otherwise."
    )
    gateway: GatewaySection = Field(
        default=GatewaySection(), description="The machine that sends requests, which is no device."
    )
    devices: dict[fields.DeviceName, DeviceSection] = Field(
        description="The devices by name, in order."
    )
