"""Device profiles: what work costs on a board, as published or as measured on the board itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from edgesplit.cost.crowd import Crowd, price
from edgesplit.cost.database import Database
from edgesplit.cost.kernel import Kernel
from edgesplit.errors import PlanError
from edgesplit.spec.cluster import Device


@dataclass(frozen=True, slots=True)
class Profile:
    """The speed of a board with all its cores on one layer.

    `macs_per_second` are effective multiply-accumulates in float32, `weight_bytes_per_second` the
    rate at which weights stream from memory, `step_seconds` what a task costs beside its
    arithmetic (interpreter and session), `message_seconds` what each end of a message costs.
    `byte_seconds` are what it takes in addition for each byte. Both are those of a whole cluster at
    work; `crowds` say what they are with fewer devices, small crowds first. `held_seconds` are what
    each end adds to the task that it belongs to, as pacing does.
    With a `database` kernels cost what it says, `scale` times: the rates are then those by which
    work is shared out.
    """

    name: str
    macs_per_second: float
    weight_bytes_per_second: float
    step_seconds: float
    message_seconds: float
    held_seconds: float = 0.0
    database: Database | None = None
    scale: float = 1.0
    byte_seconds: float = 0.0
    crowds: tuple[Crowd, ...] = ()

    def seconds(self, macs: float, weight_bytes: float, kernels: Iterable[Kernel]) -> float:
        """Return the seconds of an operator: its kernels as measured, or its work by the rates."""
        return self.session(self.compute(macs, weight_bytes), tuple(kernels))

    def session(self, computed: float, kernels: Collection[Kernel]) -> float:
        """Return the seconds of a session: its kernels as measured, or what the rates computed."""
        if self.database is None:
            return computed
        return self.scale * self.database.together(kernels)

    def compute(self, macs: float, weight_bytes: float) -> float:
        """Return the seconds of a layer: arithmetic or weight streaming, whichever is slower."""
        return max(macs / self.macs_per_second, weight_bytes / self.weight_bytes_per_second)

    @property
    def end_seconds(self) -> float:
        """What an end of a message costs, wherever it is spent."""
        return self.message_seconds + self.held_seconds

    def among(self, devices: int) -> Profile:
        """Return the profile while so many devices of the cluster are at work, itself included."""
        if not self.crowds:
            return self
        crowd = price(self.crowds, devices)
        return replace(self, message_seconds=crowd.message, byte_seconds=crowd.byte, crowds=())

    def paced(self, message_seconds: float) -> Profile:
        """Return the profile of a device that imitates this one by holding its tasks back.

        `message_seconds` is what an end of a message really costs there beside.
        """
        held = self.held_seconds + self.message_seconds
        return replace(self, message_seconds=message_seconds, held_seconds=held, crowds=())

    def slowed(self, factor: float) -> Profile:
        """Return the profile of a device that takes `factor` times as long for everything."""
        return replace(
            self,
            macs_per_second=self.macs_per_second / factor,
            weight_bytes_per_second=self.weight_bytes_per_second / factor,
            step_seconds=self.step_seconds * factor,
            message_seconds=self.message_seconds * factor,
            held_seconds=self.held_seconds * factor,
            byte_seconds=self.byte_seconds * factor,
            crowds=tuple(crowd.slowed(factor) for crowd in self.crowds),
            scale=self.scale * factor,
        )


RASPBERRY_PI_3B = Profile("raspberry-pi-3b", 5e9, 2e9, 0.35e-3, 0.6e-3)
"""Four Cortex-A53 at 1.2 GHz, LPDDR2-900.

5 GMAC/s lies within the 2.5 to 8.7 that published inference times imply (VGG16 in 1772 ms,
ResNet50 in 587 to 726 ms). 2 GB/s is about half of the memory's nominal 3.6 GB/s.
"""

RASPBERRY_PI_4B = Profile("raspberry-pi-4b", 12e9, 4e9, 0.2e-3, 0.3e-3)
"""Four Cortex-A72 at 1.5 GHz, LPDDR4-3200: 2.4 times the Pi 3's arithmetic, and about twice its
memory bandwidth, which is far below the nominal 12.8 GB/s on this board."""

RASPBERRY_PI_5 = Profile("raspberry-pi-5", 33e9, 9e9, 0.08e-3, 0.12e-3)
"""Four Cortex-A76 at 2.4 GHz, LPDDR4X-4267: 2.75 times the Pi 4's arithmetic, and about half of
the memory's nominal 17 GB/s."""

GENERIC = Profile("generic", 50e9, 8e9, 0.05e-3, 0.05e-3)
"""One core of a current x86-64 machine: measured 55 GMAC/s on VGG16's convolutions and 8.3 GB/s
on fully connected layers, in ONNX Runtime with one thread."""

Measured = Mapping[str, Profile]
"""Profiles that stand for the published ones, by device."""

NOTHING: Measured = MappingProxyType({})
"""No device was measured."""

PROFILES = {
    profile.name: profile for profile in (RASPBERRY_PI_3B, RASPBERRY_PI_4B, RASPBERRY_PI_5, GENERIC)
}


def profile(name: str) -> Profile:
    """Return the built-in profile of this name.

    Raises:
        PlanError: There is none.
    """
    if name not in PROFILES:
        close = get_close_matches(name, PROFILES, 1)
        advice = f"did you mean {close[0]!r}? " if close else ""
        raise PlanError(
            f"no device profile is named {name!r}",
            remedy=f"{advice}the built-in profiles are {', '.join(PROFILES)}",
        )
    return PROFILES[name]


def profile_of(device: Device, measured: Measured = NOTHING) -> Profile:
    """Return what work costs on a device, as measured there or as published of its board.

    The pace that it is slowed down to is included.

    A device that imitates a board by name costs what that board costs; one slowed by a factor
    costs that factor over a core of this machine, whatever board it stands for.

    Raises:
        PlanError: Its profile or its pace is unknown.
    """
    if device.name in measured:
        return measured[device.name]
    if device.pace is None:
        return profile(device.profile)
    slow = profile(device.pace) if isinstance(device.pace, str) else GENERIC.slowed(device.pace)
    return slow.paced(GENERIC.message_seconds)
