"""How a deployment's devices are: a table, once or again and again."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from edgesplit.operate.beats import State
from edgesplit.operate.status import ClusterStatus, DeviceStatus
from edgesplit.report.console import people, write_json_line
from edgesplit.spec.units import format_bytes, format_seconds

_COLOURS = {State.READY: "green", State.STARTING: "yellow"}
_HEADINGS = ("device", "release", "epoch", "state", "queue", "busy", "task", "memory", "board")
_WORDS = ("device", "release", "state")
_SHORT = 8


def show_status(status: ClusterStatus) -> None:
    """Print the state of every device of a deployment."""
    people().print(_picture(status, "since each executor began"))


def show_live(statuses: Iterable[ClusterStatus]) -> None:
    """Draw one status over the other on a terminal until there are no more."""
    with Live(console=people(), auto_refresh=False) as live:
        for status in statuses:
            live.update(_picture(status, "since the refresh before"), refresh=True)


def write_statuses(statuses: Iterable[ClusterStatus]) -> None:
    """Write every status to stdout as JSON on a line of its own."""
    for status in statuses:
        write_json_line(status)


def _picture(status: ClusterStatus, since: str) -> RenderableType:
    table = Table(title=f"cluster {status.cluster}, epoch {status.epoch}", box=box.SIMPLE_HEAD)
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in _WORDS else "right")
    for device in status.devices:
        table.add_row(*_row(device))
    notes = [f"[dim]busy, and the mean of a task: {since}[/]", *map(_throttling, status.devices)]
    return Group(table, *filter(None, (*notes, _verdict(status))))


def _verdict(status: ClusterStatus) -> str:
    if status.whole:
        return ""
    if status.answers and status.variants > 1:
        ways = f"{status.answering} of {status.variants} replicas"
        return f"[yellow]degraded[/]: requests are still answered, by {ways}"
    if status.answers:
        return "[yellow]degraded[/]: requests are still answered"
    return "[red]down[/]: no answer can be formed without the missing devices"


def _row(device: DeviceStatus) -> tuple[str, ...]:
    beat, colour = device.beat, _COLOURS.get(device.state, "red")
    known = (device.device, device.release[:_SHORT])
    state = f"[{colour}]{device.state.value}[/]"
    if beat is None:
        return (*known, "-", state, *("-",) * 5)
    celsius = beat.board.celsius
    return (
        *known,
        str(beat.epoch),
        state,
        str(beat.queue),
        "-" if device.busy is None else f"{device.busy:.0%}",
        "-" if device.task_seconds is None else format_seconds(device.task_seconds),
        format_bytes(beat.rss),
        "-" if celsius is None else f"{celsius:.0f} °C",
    )


def _throttling(device: DeviceStatus) -> str:
    if device.throttled:
        return f"[red]{device.device} is slowed down now:[/] {', '.join(device.throttled)}"
    if device.throttled_before:
        told = ", ".join(device.throttled_before)
        return f"[yellow]{device.device} was slowed down since it booted:[/] {told}"
    return ""
