"""What each kind of fault takes, and how it is made and undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.faults import links, power, processes, resources
from edgesplit.lab.faults.fault import Fault, Kind
from edgesplit.runtime.processes import Process

Inject = Callable[[Lab, LabHost, Fault], tuple[Process, ...] | None]
Undo = Callable[[Lab, LabHost, Fault], None]


@dataclass(frozen=True, slots=True)
class Need:
    """Something that faults take: labs have it from `level` on, and by the `tools` named.

    `tools` are programs of this machine and the packages that have them; a host that must be
    `running` has it only while it is on.
    """

    what: str
    level: Level
    tools: tuple[tuple[str, str], ...] = ()
    running: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """How a kind of fault is made and undone; None where it passes by itself.

    `most` is the largest amount that makes sense, None where the kind has no amount. All are above
    zero, but what a disk has left.
    """

    need: Need
    inject: Inject
    undo: Undo | None
    most: float | None = None


_ANY = float("inf")
_POWER = Need("hosts", Level.PLAIN)
_PROCESS = Need("processes", Level.PLAIN, running=True)
_LINK = Need("hosts with links of their own", Level.USER)
_FILTER = Need("hosts with links of their own", Level.USER, (("nft", "nftables"),))
_GROUP = Need("a cgroup for each host", Level.ROOT)
_RUNNING_GROUP = Need("a cgroup for each host", Level.ROOT, running=True)
_CARD = Need("hosts with storage of their own", Level.ROOT, running=True)

MEANS = {
    Kind.KILL: Means(_PROCESS, processes.kill, None),
    Kind.HANG: Means(_PROCESS, processes.hang, processes.go_on),
    Kind.FREEZE: Means(_RUNNING_GROUP, processes.freeze_host, processes.thaw_host),
    Kind.LINK_DOWN: Means(_LINK, links.shut, links.reopen),
    Kind.BLACKHOLE: Means(_FILTER, links.drop, links.undrop),
    Kind.PARTITION: Means(_FILTER, links.drop, links.undrop),
    Kind.LOSS: Means(_FILTER, links.drop, links.undrop, most=1.0),
    Kind.SLOW: Means(_LINK, links.slow_down, links.speed_up, most=_ANY),
    Kind.JITTER: Means(_LINK, links.unsettle, links.settle, most=_ANY),
    Kind.CPU: Means(_GROUP, resources.cut_cpu, resources.restore_cpu, most=_ANY),
    Kind.MEMORY: Means(_GROUP, resources.cut_memory, resources.restore_memory, most=_ANY),
    Kind.DISK_FULL: Means(_CARD, resources.fill_disk, resources.free_disk, most=_ANY),
    Kind.POWER_OFF: Means(_POWER, power.switch_off, power.switch_on),
    Kind.POWER_CYCLE: Means(_POWER, power.cycle, None),
}
