"""What a fault is, and what is remembered of one for its undoing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgesplit.runtime.processes import Process


class Kind(StrEnum):
    """What can be done to a host."""

    KILL = "kill"
    HANG = "hang"
    FREEZE = "freeze"
    LINK_DOWN = "link-down"
    BLACKHOLE = "blackhole"
    PARTITION = "partition"
    LOSS = "loss"
    SLOW = "slow"
    JITTER = "jitter"
    CPU = "cpu"
    MEMORY = "memory"
    DISK_FULL = "disk-full"
    POWER_OFF = "power-off"
    POWER_CYCLE = "power-cycle"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one host, by name.

    `amount` is how much: the share of frames that LOSS takes, the payload bytes per second that
    SLOW leaves, the mean in seconds of JITTER's exponential delay, the cores that CPU leaves, the
    bytes that MEMORY leaves, or those that DISK_FULL leaves free. `other` is the host that a
    PARTITION cuts off from hearing this one, or `controller`. `processes` says whom KILL and HANG
    hit: a pid as the host counts them, or a part of a command line; executors, if it is empty.
    """

    kind: Kind
    host: str
    amount: float | None = None
    other: str = ""
    processes: str = ""

    @property
    def same_place(self) -> tuple[Kind, str, str]:
        """What two faults have in common of which the later takes the place of the former."""
        return self.kind, self.host, self.other


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was made; of KILL and HANG, with the processes that were hit."""

    fault: Fault
    hit: tuple[Process, ...] = ()
