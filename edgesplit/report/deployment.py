"""How a deployment reads: what was done to each device, and how each is."""

from __future__ import annotations

from rich.table import Table

from edgesplit.deploy.deployer import Change
from edgesplit.operate.beats import State
from edgesplit.operate.launch import Launched
from edgesplit.operate.status import ClusterStatus, DeviceStatus
from edgesplit.report.console import people
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
        "verified": {
            "patterns": len(checked.patterns),
            "worst_error": checked.worst.error,
            "tolerance": checked.worst.tolerance,
        },
    }


def show_deployed(launched: Launched) -> None:
    """Tell that a deployment answers, and how its shards compared with the whole model."""
    record, prepared = launched.record, launched.prepared
    checked = prepared.verification
    console = people()
    console.print(
        f"[green]deployed[/] to {', '.join(record.programs)} (epoch {record.epoch}; "
        f"{prepared.built.new} of {len(prepared.built.shards)} shards were new)"
    )
    console.print(
        f"shards equal the whole model under {len(checked.patterns)} patterns of loss: "
        f"worst error {checked.worst.error:.1e} of max|y|, tolerated {checked.worst.tolerance:.1e}"
    )


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
    headings = ("device", "endpoint", "state", "open", "queue", "computed", "memory", "dropped")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:3] else "right")
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
    identity = (device.device, device.endpoint, f"[{colour}]{device.state.value}[/]")
    beat = device.beat
    if beat is None:
        return (*identity, *("-",) * 5)
    return (
        *identity,
        str(beat.open),
        str(beat.queue),
        str(beat.computed),
        format_bytes(beat.rss),
        str(sum(beat.dropped.values())),
    )


def show_down(devices: tuple[str, ...], *, dry_run: bool) -> None:
    """Tell which executors were stopped, or would be."""
    people().print(f"{'would stop' if dry_run else 'stopped'} {', '.join(devices)}")
