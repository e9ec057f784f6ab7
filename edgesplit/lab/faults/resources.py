"""Faults of what a host has: less of its CPU, its memory, its storage."""

from __future__ import annotations

from edgesplit.lab import card
from edgesplit.lab.bed import Lab, LabHost
from edgesplit.lab.cgroups import set_cpu, set_memory
from edgesplit.lab.faults.fault import Fault


def cut_cpu(lab: Lab, host: LabHost, fault: Fault) -> None:
    """Leave a host so many cores of this machine.

    Short work runs at full speed and then stalls until the quota's next period: means hold, the
    highest percentiles of single requests don't.
    """
    set_cpu(lab, host, fault.amount)


def restore_cpu(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Give a host the CPU back that it had."""
    set_cpu(lab, host, host.slice)


def cut_memory(lab: Lab, host: LabHost, fault: Fault) -> None:
    """Leave a host so many bytes of memory; whoever needs more is killed by the kernel.

    Raises:
        LabError: The kernel refuses, since more than that is in use and can't be let go.
    """
    set_memory(lab, host, None if fault.amount is None else round(fault.amount))


def restore_memory(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Give a host the memory back that it had."""
    set_memory(lab, host, host.memory)


def fill_disk(lab: Lab, host: LabHost, fault: Fault) -> None:
    """Leave a host so many free bytes in its home; raises as `card.fill`."""
    card.fill(lab, host, round(fault.amount or 0))


def free_disk(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Give a host its free space back."""
    card.empty(lab, host)
