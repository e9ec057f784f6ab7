"""How a lab reads: its level and what is missing for a better one, its hosts, what comes next."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from shlex import quote

from rich.markup import escape
from rich.table import Table

from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.cluster import CLUSTER
from edgesplit.lab.faults import Fault
from edgesplit.lab.levels import MISSES
from edgesplit.lab.status import HostStatus
from edgesplit.lab.up import Raised
from edgesplit.report.console import people, say
from edgesplit.spec.units import format_bytes, format_rate, format_seconds


def raised_result(raised: Raised) -> dict[str, object]:
    """Return a lab that was made as machines read it."""
    lab = raised.lab
    return {
        "name": lab.name,
        "level": lab.level,
        "cluster": lab.folder / CLUSTER,
        "hosts": {host.name: host.address for host in lab.hosts},
        "missing": [{"what": each.what, "remedy": each.remedy} for each in raised.choice.lacks],
    }


def show_raised(raised: Raised) -> None:
    """Tell what a lab has, on which level and why, and what to do next."""
    lab, console = raised.lab, people()
    say(console, f"[green]up[/]: lab {lab.name}, {', '.join(_boards(lab))}")
    say(console, f"level [bold]{lab.level}[/]: {MISSES[lab.level]}")
    for lack in raised.choice.lacks:
        say(console, f"  for level {lack.level}: {escape(lack.what)}; {escape(lack.remedy)}")
    say(console, f"next: edgesplit plan {escape(_shown(lab.folder / CLUSTER))} MODEL")
    if lab.level is Level.USER:
        door = "edgesplit lab exec -- edgesplit deploy ALLOCATION"
        say(console, f"what reaches the hosts runs inside the lab: {door}")


def status_result(lab: Lab, hosts: Sequence[HostStatus]) -> dict[str, object]:
    """Return the status of a lab as machines read it."""
    return {
        "name": lab.name,
        "level": lab.level,
        "hosts": {
            host.name: {
                "address": host.address,
                "preset": host.preset,
                "on": host.on,
                "processes": host.processes,
                "memory": host.memory,
                "limit": host.limit,
                "faults": host.faults,
            }
            for host in hosts
        },
    }


def show_lab(lab: Lab, hosts: Sequence[HostStatus]) -> None:
    """Print the hosts of a lab."""
    table = Table(title=f"lab {lab.name}, level {lab.level}")
    for heading in ("host", "address", "board", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("processes", "memory", "limit"):
        table.add_column(heading, justify="right")
    for host in hosts:
        table.add_row(*_row(host))
    console = people()
    console.print(table)
    for host in hosts:
        if host.faults:
            say(console, f"[red]faults[/] of {host.name}: {', '.join(map(_told, host.faults))}")


def show_taken_down(name: str | None) -> None:
    """Tell that a lab is down, or that there was none."""
    people().print("there is no lab to take down" if name is None else f"lab {name} is down")


def _row(host: HostStatus) -> tuple[str, ...]:
    state = "[green]on[/]" if host.on else "[red]off[/]"
    identity = (host.name, host.address, host.preset, state, str(host.processes))
    if host.memory is None or host.limit is None:
        return (*identity, "-", "none")
    return (*identity, format_bytes(host.memory.used), format_bytes(host.limit))


def _told(fault: Fault) -> str:
    return f"{fault.kind} to {fault.other}" if fault.other else fault.kind


def _boards(lab: Lab) -> Iterator[str]:
    """Yield what each run of equal hosts is, as in `8 x raspberry-pi-3b at 94.1 Mbit/s`."""
    for _, alike in groupby(lab.hosts, key=lambda host: (host.preset, host.shape.rate)):
        group = list(alike)
        first, last = group[0], group[-1]
        names = first.name if first is last else f"{first.name} to {last.name}"
        yield f"{names} ({len(group)} x {first.preset}, {_link(first)})"


def _link(host: LabHost) -> str:
    shape = host.shape
    told = [format_rate(shape.rate)]
    if shape.delay or shape.tail:
        told.append(f"{format_seconds(shape.delay + shape.tail)} each way on average")
    if shape.loss:
        told.append(f"{shape.loss:.2%} lost")
    return ", ".join(told)


def _shown(path: Path) -> str:
    """Return a path as one would write it here."""
    here = Path.cwd()
    return quote(os.path.relpath(path, here) if path.is_relative_to(here) else str(path))
