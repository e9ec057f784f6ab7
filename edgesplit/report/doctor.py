"""How a look at a cluster's devices reads: what matters of each, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgesplit.deploy.findings import Level
from edgesplit.deploy.preflight import Checkup
from edgesplit.deploy.probe import Probe
from edgesplit.report.console import people, plain, say
from edgesplit.spec.units import format_bytes

_HEADINGS = ("device", "verdict", "board", "python", "memory", "disk")
_READY = "[green]ready[/]"
_VERDICTS = {Level.REFUSAL: "[red]refused[/]", Level.WARNING: "[yellow]warning[/]"}
_NOTABLE = {
    Level.REFUSAL: "[red]refused:[/]",
    Level.WARNING: "[yellow]warning:[/]",
    Level.NOTE: "[dim]note:[/]",
}


def doctor_result(checkups: Sequence[Checkup]) -> dict[str, object]:
    """Return checkups as machines read them."""
    return {
        "refused": [one.device for one in checkups if one.level is Level.REFUSAL],
        "devices": {one.device: _device(one) for one in checkups},
    }


def show_doctor(checkups: Sequence[Checkup]) -> None:
    """Print a line of each device, and below whatever is notable of it with its remedy."""
    console = people()
    console.print(_table(checkups))
    for one in checkups:
        for level in _NOTABLE:
            _show_findings(console, one, level)
    refused = sum(one.level is Level.REFUSAL for one in checkups)
    if refused:
        say(console, f"[red]{refused} of {len(checkups)} devices can't have a deployment[/]")
    else:
        say(console, f"[green]all {len(checkups)} devices can have a deployment[/]")


def _table(checkups: Sequence[Checkup]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in ("memory", "disk") else "left")
    for one in checkups:
        facts = ("-",) * 4 if one.seen is None else _facts(one.seen)
        table.add_row(one.device, _VERDICTS.get(one.level, _READY), *facts)
    return table


def _facts(seen: Probe) -> tuple[str, ...]:
    version = ".".join(map(str, seen.python))
    return (
        escape(seen.board.model or seen.machine),
        version,
        f"{format_bytes(seen.memory.available)} of {format_bytes(seen.memory.total)}",
        f"{format_bytes(seen.free)} free",
    )


def _show_findings(console: Console, one: Checkup, level: Level) -> None:
    for finding in one.at(level):
        name = f"[bold]{escape(one.device)}:[/]"
        say(console, f"{_NOTABLE[level]} {name} {escape(finding.what)}")
        if finding.remedy:
            say(console, f"  [green]try:[/] {escape(finding.remedy)}")


def _device(one: Checkup) -> dict[str, object]:
    findings = [
        {key: value for key, value in plain(finding).items() if key != "device"}
        for finding in one.findings
    ]
    seen = None if one.seen is None else plain(one.seen)
    if seen is not None:
        seen["blobs"] = len(seen.pop("sizes"))
    return {"level": one.level, "findings": findings, "seen": seen}
