"""How a profile reads: lines fitted to kernels of each operator, and what to do with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from edgesplit.cost.crowd import Crowd
from edgesplit.cost.database import ANY, Database, Rate
from edgesplit.operate.pairs import Measured
from edgesplit.operate.profile import Profiled, Todo
from edgesplit.report.console import people, plain, say
from edgesplit.spec.cluster import Device, Link
from edgesplit.spec.units import format_rate, format_seconds

_BUSY = 0.5
"""Processes a core that want to run, from which on times are not to be trusted."""

Pairs = Sequence[tuple[Device, Device]]
"""Two devices each whose link is to be measured."""


_HEADINGS = ("operator", "kernels", "start", "GMAC/s", "weights GB/s", "moved GB/s", "error")


def todo_result(wanted: Sequence[Todo], pairs: Pairs, *, rehearsal: bool) -> dict[str, Any]:
    """Return what would be measured, as machines read it."""
    return {
        "classes": [
            {"class": one.name, "device": one.device.name, **_counts(one)} for one in wanted
        ],
        "links": [[one.name, other.name] for one, other in pairs],
        "rehearsal": rehearsal,
    }


def show_todo(wanted: Sequence[Todo], pairs: Pairs, *, rehearsal: bool) -> None:
    """Print what would be measured where."""
    console = people()
    for one in wanted:
        counts = _counts(one)
        say(
            console,
            f"[bold]{escape(one.name)}[/]: would time {counts['specimens']} sub-models on "
            f"{escape(one.device.name)}; {counts['known']} kernels are known",
        )
    for ends in pairs:
        names = " and ".join(escape(device.name) for device in ends)
        say(console, f"would measure the link of {names}")
    if rehearsal:
        say(console, "would rehearse what messages cost with many devices at work")


def profile_result(
    done: Sequence[Profiled],
    links: Sequence[Measured],
    databases: Mapping[str, Database],
    crowds: Sequence[Crowd],
) -> dict[str, Any]:
    """Return profiles as machines read them; the measured kernels are in the files.

    Args:
        done: What was measured of each class.
        links: The links that were measured.
        databases: What is known of the classes now.
        crowds: What messages cost, as rehearsed; none where that was known.
    """
    return {
        "classes": [_class_result(one, databases[one.database.name]) for one in done],
        "links": [plain(one) | {"overstated": one.overstated} for one in links],
        "rehearsed": [plain(one) for one in crowds],
    }


def show_profile(
    done: Sequence[Profiled],
    links: Sequence[Measured],
    databases: Mapping[str, Database],
    crowds: Sequence[Crowd],
    files: str,
) -> None:
    """Print the lines of each class with their errors, the links, and what comes next.

    Args:
        done: What was measured of each class.
        links: The links that were measured.
        databases: What is known of the classes now.
        crowds: What messages cost, as rehearsed; none where that was known.
        files: The cluster and the model file, as words of a command line.
    """
    console = people()
    for one in done:
        console.print(_table(one.database))
        for line in _notes(one, databases[one.database.name]):
            say(console, line)
    for link in links:
        say(console, _told(link))
    for crowd in crowds:
        each, mega = format_seconds(crowd.message), format_seconds(crowd.byte * 1e6)
        say(
            console,
            f"with {crowd.devices} devices at work an end of a message takes {each}, "
            f"and {mega} a MB",
        )
    say(console, f"next: edgesplit plan {escape(files)}")


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


def _class_result(one: Profiled, database: Database) -> dict[str, Any]:
    return {
        "class": database.name,
        "machine": database.machine,
        "device": one.device,
        "file": str(one.file),
        "measured": one.measured,
        "load": one.load,
        "left_out": one.heavy,
        "failed": list(one.failed),
        "models": plain(database.models),
        "run": database.run,
        "step": database.step,
        "message": database.message,
        "links": plain(database.links),
        "lines": {
            op: {**plain(rate), "worst": worst(database, op)} for op, rate in database.rates.items()
        },
    }


def _table(database: Database) -> Table:
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


def _notes(one: Profiled, database: Database) -> Iterator[str]:
    yield f"{one.measured} kernels measured on {escape(one.device)}: {escape(str(one.file))}"
    if one.load > _BUSY:
        yield (
            f"[yellow]{escape(one.device)} was busy: {one.load:.1f} processes a core wanted to "
            "run[/]; measure with --again when it is idle"
        )
    if one.heavy:
        yield f"{one.heavy} left out: their weights are more than its memory holds"
    for reason in one.failed:
        yield f"[yellow]not timed:[/] {escape(reason)}"
    if database.step is not None and database.message is not None:
        step, message = format_seconds(database.step), format_seconds(database.message)
        yield f"beside its session a task takes {step}, each end of a message {message}"


def _told(one: Measured) -> str:
    ends = escape(" - ".join(one.ends))
    found, claimed = _link(one.link), _link(one.stated)
    if one.overstated:
        return f"[yellow]{ends}: {found}, far less than the cluster file says: {claimed}[/]"
    return f"{ends}: {found}; the cluster file says {claimed}"


def _link(link: Link) -> str:
    return f"{format_rate(link.bandwidth)}, {format_seconds(link.latency)}"
