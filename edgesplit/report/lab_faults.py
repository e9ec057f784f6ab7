"""How the faults of a lab read: what was made, what is there, what was undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote

from rich.markup import escape
from rich.table import Table

from edgesplit.lab.faults import Fault, Injected, Kind
from edgesplit.report.console import people, say
from edgesplit.spec.units import format_bytes, format_rate, format_seconds

_PASSES = frozenset({Kind.KILL, Kind.POWER_CYCLE})
_AMOUNTS: Mapping[Kind, Callable[[float], str]] = {
    Kind.LOSS: "{:.1%} of the frames".format,
    Kind.SLOW: format_rate,
    Kind.JITTER: format_seconds,
    Kind.CPU: "{:g} cores".format,
    Kind.MEMORY: format_bytes,
    Kind.DISK_FULL: lambda free: f"{format_bytes(free)} free",
}


def faults_result(faults: Sequence[Injected]) -> list[dict[str, object]]:
    """Return faults as machines read them; pids are this machine's."""
    return [
        {
            "host": each.fault.host,
            "kind": each.fault.kind,
            "amount": each.fault.amount,
            "other": each.fault.other or None,
            "pids": [process.pid for process in each.hit],
        }
        for each in faults
    ]


def show_injected(injected: Injected, folder: Path) -> None:
    """Tell what was done, and how it is undone."""
    fault, console = injected.fault, people()
    hit = f" ({_counted(len(injected.hit))})" if injected.hit else ""
    console.print(f"[red]{fault.kind}[/] {fault.host}{escape(_detail(fault))}{hit}")
    if fault.kind not in _PASSES:
        place = "" if folder == Path("lab") else f" --folder {quote(str(folder))}"
        say(console, escape(f"undo: edgesplit lab fault undo {fault.host} {fault.kind}{place}"))


def show_faults(faults: Sequence[Injected]) -> None:
    """Print the faults that a lab has now."""
    if not faults:
        people().print("no faults")
        return
    table = Table("host", "fault", "how much")
    for each in faults:
        table.add_row(each.fault.host, each.fault.kind, escape(_detail(each.fault).strip()))
    people().print(table)


def show_undone(host: str, undone: Sequence[Injected]) -> None:
    """Tell what was undone."""
    kinds = ", ".join(f"{each.fault.kind}{_detail(each.fault)}" for each in undone)
    people().print(
        f"[green]undone[/]: {host} {escape(kinds)}" if kinds else f"{host} has no such fault"
    )


def _counted(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _detail(fault: Fault) -> str:
    """Return how much of a fault there is, as a person would say it, with a space before it."""
    if fault.other:
        return f" to {fault.other}"
    if fault.amount is None:
        return f" {fault.processes}" if fault.processes else ""
    return f" {_AMOUNTS[fault.kind](fault.amount)}"
