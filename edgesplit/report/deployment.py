"""How a deployment reads: what was done to each device, and how each is."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from rich.markup import escape
from rich.table import Table

from edgesplit.deploy.deployer import Change
from edgesplit.operate.beats import State
from edgesplit.operate.launch import Launched
from edgesplit.operate.status import ClusterStatus, DeviceStatus
from edgesplit.report.console import people, say
from edgesplit.spec.units import format_bytes

_COLOURS = {State.READY: "green", State.STARTING: "yellow"}


def deployed_result(launched: Launched) -> dict[str, object]:
    """Return a launch as machines read it."""
    record, checked = launched.record, launched.prepared.verification
    return {
        "cluster": record.cluster,
        "epoch": record.epoch,
        "devices": {name: peer.endpoint for name, peer in record.peers.items()},
        "new_shards": launched.prepared.built.new,
        "changed": sorted(launched.changed),
        "verified": {
            "patterns": len(checked.patterns),
            "worst_error": checked.worst.error,
            "tolerance": checked.worst.tolerance,
        },
    }


def show_deployed(launched: Launched, path: Path) -> None:
    """Tell that a deployment answers, and how its shards compared with the whole model."""
    checked, console = launched.prepared.verification, people()
    console.print(_deployed(launched))
    console.print(
        f"its shards equal the whole model under {len(checked.patterns)} patterns of loss: "
        f"worst error {checked.worst.error:.1e} of max|y|, {checked.worst.tolerance:.1e} tolerated"
    )
    say(console, f"next: edgesplit bench {escape(quote(str(path)))}")


def _deployed(launched: Launched) -> str:
    record, built = launched.record, launched.prepared.built
    devices = ", ".join(record.programs)
    if not launched.changed:
        return f"[green]runs already[/] on {devices} (epoch {record.epoch}); nothing was changed"
    kept = [name for name in record.programs if name not in launched.changed]
    told = f"epoch {record.epoch}; {built.new} of {len(built.shards)} shards were new"
    note = f"; {', '.join(kept)} went on running" if kept else ""
    return f"[green]deployed[/] to {devices} ({told}{note})"


def show_changes(changes: tuple[Change, ...]) -> None:
    """Print what a deployment would do to each device."""
    table = Table(title="would change")
    for heading in ("device", "push", "keep", "executor"):
        table.add_column(heading)
    for change in changes:
        table.add_row(
            change.device,
            f"{len(change.push)} blobs, {format_bytes(sum(change.push.values()))}",
            f"{len(change.keep)} blobs, {format_bytes(sum(change.keep.values()))}",
            "keeps running" if change.unchanged else "(re)starts",
        )
    people().print(table)


def show_status(status: ClusterStatus) -> None:
    """Print the state of every device of a deployment."""
    table = Table(title=f"cluster {status.cluster}, epoch {status.epoch}")
    headings = ("device", "address", "state", "queue", "computed", "memory")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:3] else "right")
    table.columns[1].overflow = "fold"
    for device in status.devices:
        table.add_row(*_row(device))
    console = people()
    console.print(table)
    if not status.whole:
        console.print(
            "[yellow]degraded[/]: requests are still answered"
            if status.answers
            else "[red]down[/]: no answer can be formed without the missing devices"
        )


def _row(device: DeviceStatus) -> tuple[str, ...]:
    colour = _COLOURS.get(device.state, "red")
    address = device.endpoint.removeprefix("tcp://")
    identity = (device.device, address, f"[{colour}]{device.state.value}[/]")
    beat = device.beat
    if beat is None:
        return (*identity, *("-",) * 3)
    return (
        *identity,
        str(beat.queue),
        str(beat.computed),
        format_bytes(beat.rss),
    )


def show_down(devices: tuple[str, ...], *, dry_run: bool) -> None:
    """Tell which executors were stopped, or would be."""
    people().print(f"{'would stop' if dry_run else 'stopped'} {', '.join(devices)}")
