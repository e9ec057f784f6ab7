"""Faults of a host's power: off, and on again with the same address, keys and disk."""

from __future__ import annotations

from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.boot import boot, power_off, start
from edgesplit.lab.cgroups import thaw
from edgesplit.lab.faults import ledger
from edgesplit.lab.faults.fault import Fault, Kind
from edgesplit.lab.faults.links import set_port

_OF_PROCESSES = (Kind.HANG, Kind.FREEZE)
_UNREACHABLE = (Kind.LINK_DOWN, Kind.BLACKHOLE, Kind.PARTITION, Kind.LOSS)


def switch_off(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Cut a host's power: nobody hears of it, not even by the end of a connection."""
    if lab.level is not Level.PLAIN:
        set_port(lab, host, up=False)
    power_off(lab, host)
    if lab.level is Level.ROOT:
        thaw(lab, host)
    for kind in _OF_PROCESSES:
        ledger.forget(lab, Fault(kind, host.name))


def switch_on(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Boot a host and return once its ssh server answers, unless a fault of its link forbids it.

    Raises:
        LabError: It runs already, or it didn't come up.
    """
    has = {each.fault.kind for each in ledger.active(lab) if each.fault.host == host.name}
    if lab.level is not Level.PLAIN and Kind.LINK_DOWN not in has:
        set_port(lab, host, up=True)
    if has.isdisjoint(_UNREACHABLE):
        boot(lab, host)
    else:
        start(lab, host)


def cycle(lab: Lab, host: LabHost, fault: Fault) -> None:
    """Switch a host off and on again; raises as `switch_on`."""
    switch_off(lab, host, fault)
    switch_on(lab, host, fault)
