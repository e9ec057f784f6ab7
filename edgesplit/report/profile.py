"""How a profile reads: lines fitted to kernels of each operator, and what to do with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from edgesplit.cost.database import ANY, Database, Rate
from edgesplit.operate.profile import Profiled, Todo
from edgesplit.report.console import people, plain, say
from edgesplit.spec.units import format_seconds

_HEADINGS = ("operator", "kernels", "start", "GMAC/s", "weights GB/s", "moved GB/s", "error")


def todo_result(wanted: Sequence[Todo]) -> list[dict[str, Any]]:
    """Return what would be measured, as machines read it."""
    return [{"class": one.name, "device": one.device.name, **_counts(one)} for one in wanted]


def show_todo(wanted: Sequence[Todo]) -> None:
    """Print what would be measured where."""
    console = people()
    for one in wanted:
        counts = _counts(one)
        say(
            console,
            f"[bold]{escape(one.name)}[/]: would time {counts['specimens']} sub-models on "
            f"{escape(one.device.name)}; {counts['known']} kernels are known",
        )


def profile_result(done: Sequence[Profiled]) -> list[dict[str, Any]]:
    """Return profiles as machines read them; the measured kernels are in the files."""
    return [
        {
            "class": one.database.name,
            "machine": one.database.machine,
            "device": one.device,
            "file": str(one.file),
            "measured": one.measured,
            "left_out": one.heavy,
            "failed": list(one.failed),
            "models": plain(one.database.models),
            "step": one.database.step,
            "message": one.database.message,
            "links": plain(one.database.links),
            "lines": {
                op: {**plain(rate), "worst": worst(one.database, op)}
                for op, rate in one.database.rates.items()
            },
        }
        for one in done
    ]


def show_profile(done: Sequence[Profiled], cluster: Path, model: Path) -> None:
    """Print the lines of each class with their errors, and what comes next."""
    console = people()
    for one in done:
        console.print(_table(one))
        for line in _notes(one):
            say(console, line)
    words = " ".join(quote(str(path)) for path in (cluster, model))
    say(console, f"next: edgesplit plan {escape(words)}")


def worst(database: Database, op: str) -> float:
    """Return the largest error of a line over the kernels that it was fitted to."""
    rate = database.rates[op]
    errors = (
        abs(rate.seconds(point.kernel) / point.seconds - 1)
        for point in database.points
        if op in (ANY, point.kernel.op)
    )
    return max(errors, default=0.0)


def _counts(one: Todo) -> dict[str, int]:
    return {"specimens": len(one.specimens), "known": one.known}


def _table(one: Profiled) -> Table:
    database = one.database
    title = f"{database.name} ({database.machine})" if database.machine else database.name
    table = Table(title=escape(title), box=box.SIMPLE_HEAD)
    for heading in (*_HEADINGS, "worst"):
        table.add_column(heading, justify="left" if heading == "operator" else "right")
    for op, rate in sorted(database.rates.items(), key=lambda item: -item[1].points):
        table.add_row(escape(op), *_row(rate), f"{worst(database, op):.0%}")
    return table


def _row(rate: Rate) -> tuple[str, ...]:
    speeds = (f"{1e-9 / each:.3g}" if each else "" for each in (rate.mac, rate.weight, rate.moved))
    return (str(rate.points), format_seconds(rate.start), *speeds, f"{rate.error:.0%}")


def _notes(one: Profiled) -> list[str]:
    notes = [f"{one.measured} kernels measured on {escape(one.device)}: {escape(str(one.file))}"]
    if one.heavy:
        notes.append(f"{one.heavy} left out: their weights are more than its memory holds")
    notes += [f"[yellow]not timed:[/] {escape(reason)}" for reason in one.failed]
    return notes
