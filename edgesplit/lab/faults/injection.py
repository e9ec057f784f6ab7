"""Making faults and undoing them."""

from __future__ import annotations

import math
import shutil

from edgesplit.errors import FaultRefused, UsageError
from edgesplit.lab.bed import Lab, Level
from edgesplit.lab.enter import CONTROLLER, environment, init_pid
from edgesplit.lab.faults import ledger
from edgesplit.lab.faults.fault import Fault, Injected, Kind
from edgesplit.lab.faults.means import MEANS, Need

_RANK = (Level.PLAIN, Level.USER, Level.ROOT)


def inject(lab: Lab, fault: Fault) -> Injected:
    """Make a fault and return once it is there; it takes the place of an earlier one.

    What can be undone is remembered before it is done, so that no fault is left without its undo.

    Raises:
        FaultRefused: The lab's level or this machine lacks what it takes.
        UsageError: What the fault says makes no sense.
        LabError: There is no such host, it is off, or the fault could not be made.
    """
    host, means = lab.host(fault.host), MEANS[fault.kind]
    _check(lab, fault)
    with ledger.held(lab):
        if means.undo is not None:
            ledger.remember(lab, Injected(fault))
        try:
            injected = Injected(fault, means.inject(lab, host, fault) or ())
        except BaseException:
            _undo(lab, fault)
            raise
        if means.undo is not None:
            ledger.remember(lab, injected)
    return injected


def undo(lab: Lab, injected: Injected) -> None:
    """Undo a fault; one that has passed, or was undone already, is no error.

    Raises:
        LabError: It can't be undone as things are; it stays remembered.
    """
    with ledger.held(lab):
        if any(each.fault == injected.fault for each in ledger.active(lab)):
            _undo(lab, injected.fault)


def undo_all(lab: Lab, host: str, kind: Kind | None = None) -> tuple[Injected, ...]:
    """Undo a host's faults, or those of one kind, the latest first; return them.

    Raises:
        LabError: There is no such host; or as `undo`.
    """
    lab.host(host)
    found = [each for each in ledger.active(lab) if each.fault.host == host]
    wanted = [each for each in reversed(found) if kind in {None, each.fault.kind}]
    for injected in wanted:
        undo(lab, injected)
    return tuple(wanted)


def _undo(lab: Lab, fault: Fault) -> None:
    means = MEANS[fault.kind]
    if means.undo is not None:
        means.undo(lab, lab.host(fault.host), fault)
        ledger.forget(lab, fault)


def _check(lab: Lab, fault: Fault) -> None:
    _check_need(lab, fault, MEANS[fault.kind].need)
    _check_amount(fault, MEANS[fault.kind].most)
    if fault.kind is Kind.PARTITION and fault.other != CONTROLLER:
        lab.host(fault.other)
    if fault.other == fault.host:
        raise UsageError("a host can't be cut off from itself", remedy="name another host")


def _check_need(lab: Lab, fault: Fault, need: Need) -> None:
    """Refuse what a lab can't have, before anything is changed or remembered."""
    if _RANK.index(lab.level) < _RANK.index(need.level):
        raise FaultRefused(
            f"the fault {fault.kind} takes {need.what}; a lab of the level {lab.level} has none",
            where=fault.host,
            remedy=f"make the lab with --level {need.level}"
            + (", which takes root" if need.level is Level.ROOT else ""),
        )
    for tool, package in need.tools:
        if shutil.which(tool, path=environment(lab)["PATH"]) is None:
            raise FaultRefused(
                f"the fault {fault.kind} takes the program {tool}, which isn't here",
                where=fault.host,
                remedy=f"install {package}",
            )
    if need.running:
        init_pid(lab, lab.host(fault.host))


def _check_amount(fault: Fault, most: float | None) -> None:
    amount, may_lack = fault.amount, most is None or fault.kind is Kind.DISK_FULL
    if amount is None and may_lack:
        return
    least = 0.0 if fault.kind is Kind.DISK_FULL else math.ulp(0.0)
    if amount is None or most is None or not least <= amount <= most or math.isinf(amount):
        raise UsageError(
            f"the fault {fault.kind} of an amount {amount} makes no sense",
            where=fault.host,
            remedy=_advice(most),
        )


def _advice(most: float | None) -> str:
    if most is None:
        return "leave the amount out"
    return "give one above 0" + (f" and up to {most:g}" if math.isfinite(most) else "")
