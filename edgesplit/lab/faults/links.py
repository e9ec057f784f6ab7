"""Faults of a host's link.

What is cut without a word is dropped by the switch, so nobody is told by a reset; each such fault
is a table of its own in the switch's filter. The others change the link's shape.
"""

from __future__ import annotations

from dataclasses import replace

from edgesplit.lab import wifi
from edgesplit.lab.bed import Lab, LabHost, Shape
from edgesplit.lab.enter import CONTROLLER, SWITCH, in_network
from edgesplit.lab.faults.fault import Fault, Kind
from edgesplit.lab.faults.ledger import active
from edgesplit.lab.network import CONTROLLER_PORT, link_port, shape_host

_RANDOM_OF = 1_000_000


def shut(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Take a host's link away; it loses its carrier."""
    set_port(lab, host, up=False)


def reopen(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Give a host its link back."""
    set_port(lab, host, up=True)


def set_port(lab: Lab, host: LabHost, *, up: bool) -> None:
    """Switch the port of a host's link on or off."""
    in_network(lab, SWITCH, ["ip", "link", "set", link_port(host), "up" if up else "down"])


def drop(lab: Lab, host: LabHost, fault: Fault) -> None:
    """Let the switch drop frames as BLACKHOLE, PARTITION and LOSS have it.

    Raises:
        LabError: There is no such other host, or this kernel can't filter at a switch.
    """
    rules = "".join(f"{rule} drop\n" for rule in _dropped(lab, host, fault))
    chain = f"chain fault {{\ntype filter hook forward priority -300\n{rules}}}"
    undrop(lab, host, fault)
    _filter(lab, f"table bridge {_table(fault)} {{\n{chain}\n}}")


def undrop(lab: Lab, _host: LabHost, fault: Fault) -> None:
    """Let the switch forward again what `drop` told it to drop."""
    table = f"table bridge {_table(fault)}"
    _filter(lab, f"{table}\ndelete {table}")  # Made first, it is there to be deleted.


def slow_down(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Give a host's link the rate that its faults leave it, both ways."""
    shape_host(lab, host, shape_now(lab, host))


def speed_up(lab: Lab, host: LabHost, fault: Fault) -> None:
    """Give a host's link its rate back."""
    shape_host(lab, host, shape_now(lab, host, without=fault))


def unsettle(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Give a host's link the delays of its faults; raises LabError as `wifi.attach`."""
    wifi.attach(lab, host, shape_now(lab, host))


def settle(lab: Lab, host: LabHost, fault: Fault) -> None:
    """Give a host's link its own delays back, or its cable."""
    shape = shape_now(lab, host, without=fault)
    if shape.radio:
        wifi.attach(lab, host, shape)
    else:
        wifi.detach(lab, host)
        shape_host(lab, host, shape)


def shape_now(lab: Lab, host: LabHost, *, without: Fault | None = None) -> Shape:
    """Return a link's shape under all faults that the host has, but one."""
    shape = host.shape
    for fault in (each.fault for each in active(lab)):
        if fault.host != host.name or fault == without or fault.amount is None:
            continue
        if fault.kind is Kind.SLOW:
            shape = replace(shape, rate=fault.amount)
        elif fault.kind is Kind.JITTER:
            shape = replace(shape, tail=fault.amount)
    return shape


def _dropped(lab: Lab, host: LabHost, fault: Fault) -> list[str]:
    """Return what is dropped: a rule a direction."""
    sent, heard = f'iifname "{link_port(host)}"', f'oifname "{link_port(host)}"'
    if fault.kind is Kind.PARTITION:
        # Who asks for its address still gets it, or the other direction would be cut as well.
        return [f'{sent} oifname "{_port_of(lab, fault.other)}" ether type != arp']
    if fault.kind is Kind.LOSS and fault.amount is not None:
        chance = f"numgen random mod {_RANDOM_OF} < {round(fault.amount * _RANDOM_OF)}"
        return [f"{sent} {chance}", f"{heard} {chance}"]
    return [sent, heard]


def _port_of(lab: Lab, name: str) -> str:
    return CONTROLLER_PORT if name == CONTROLLER else link_port(lab.host(name))


def _table(fault: Fault) -> str:
    return "_".join(filter(None, (fault.kind, fault.host, fault.other))).replace("-", "_")


def _filter(lab: Lab, rules: str) -> None:
    in_network(lab, SWITCH, ["nft", "-f", "-"], text=f"{rules}\n")
