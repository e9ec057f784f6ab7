"""How a lab is: each host's state, its memory and its processes."""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.cgroups import Groups, Memory
from edgesplit.lab.enter import host_processes
from edgesplit.lab.faults import Fault, active


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host: `memory` is None where the lab's level has no limits, and so no account of it.

    `faults` are those that it was given and that weren't undone.
    """

    name: str
    address: str
    preset: str
    processes: int
    memory: Memory | None
    limit: int | None
    faults: tuple[Fault, ...]

    @property
    def on(self) -> bool:
        """Whether it is switched on."""
        return self.processes > 0


def lab_status(lab: Lab) -> tuple[HostStatus, ...]:
    """Return the status of every host of a lab."""
    faults = [injected.fault for injected in active(lab)]
    return tuple(
        _status(lab, host, tuple(fault for fault in faults if fault.host == host.name))
        for host in lab.hosts
    )


def _status(lab: Lab, host: LabHost, faults: tuple[Fault, ...]) -> HostStatus:
    common = (host.name, host.address, host.preset)
    if lab.level is not Level.ROOT:
        return HostStatus(*common, len(host_processes(lab, host)), None, None, faults)
    groups = Groups.of(lab)
    count = len(groups.pids(host.name))
    return HostStatus(*common, count, groups.memory(host.name), host.memory, faults)
