"""Status: what every device of a deployment says of itself, right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesplit.deploy.record import Record
from edgesplit.operate.beats import Beat, State
from edgesplit.operate.gateway import Gateway
from edgesplit.plan.coverage import survives


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One device: its state, and its last beat where it sent one in time."""

    device: str
    endpoint: str
    state: State
    beat: Beat | None


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A deployment at one moment; `answers` tells whether the ready devices can form an answer."""

    cluster: str
    epoch: int
    devices: tuple[DeviceStatus, ...]
    answers: bool

    @property
    def whole(self) -> bool:
        """Whether every device is ready."""
        return all(device.state is State.READY for device in self.devices)


def status(record: Record, secret: bytes, *, timeout: float = 2.0) -> ClusterStatus:
    """Ask all devices at once, and return what they said within `timeout` seconds.

    Returns early once every device is ready. Admits nothing, so it disturbs nobody.
    """
    with Gateway(record, secret) as gateway:
        gateway.wait_ready(frozenset(record.table.devices), timeout)
        return observe(gateway)


def observe(gateway: Gateway) -> ClusterStatus:
    """Return the status as a gateway that is already connected sees it."""
    record, states = gateway.record, gateway.states()
    lost = frozenset(name for name, state in states.items() if state is not State.READY)
    return ClusterStatus(
        cluster=record.cluster,
        epoch=record.epoch,
        devices=_devices(record, states, gateway.beats()),
        answers=survives(record.table, lost),
    )


def _devices(
    record: Record, states: Mapping[str, State], beats: Mapping[str, Beat]
) -> tuple[DeviceStatus, ...]:
    return tuple(
        DeviceStatus(name, record.peers[name].endpoint, state, beats.get(name))
        for name, state in states.items()
    )
