"""How a deployment reads: what was done to each device, and how it took over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.markup import escape

from edgesplit.deploy.record import Record
from edgesplit.deploy.rollout import Mode
from edgesplit.operate.launch import Launched
from edgesplit.report.console import people, plain, say
from edgesplit.report.rounding import rounding_told
from edgesplit.spec.units import format_bytes

_MODES: dict[Mode, str] = {
    "unchanged": "",
    "first": "nothing ran before",
    "rolled": "the old release answered until the new one did",
    "drained": "the old release had to end before the new one began: requests waited",
}


def deployed_result(launched: Launched) -> dict[str, object]:
    """Return a launch as machines read it."""
    checked = launched.prepared.verification
    return record_result(launched.record) | {
        "mode": launched.mode,
        "pushed": launched.pushed,
        "new_shards": launched.prepared.built.new,
        "changed": sorted(launched.changed),
        "warnings": list(launched.warnings),
        "verified": {
            "patterns": len(checked.patterns),
            "worst_error": checked.worst.error,
            "tolerance": checked.worst.tolerance,
        },
        "rounding": plain(checked.rounded),
    }


def record_result(record: Record) -> dict[str, object]:
    """Return what a record says of where its devices are, as machines read it."""
    return {
        "cluster": record.cluster,
        "epoch": record.epoch,
        "devices": {name: peer.endpoint for name, peer in record.peers.items()},
    }


def show_deployed(launched: Launched, path: Path) -> None:
    """Tell that a deployment answers, and how its shards compared with the whole model."""
    checked, console = launched.prepared.verification, people()
    console.print(_deployed(launched))
    console.print(
        f"its shards equal the whole model under {len(checked.patterns)} patterns of loss: "
        f"worst error {checked.worst.error:.1e} of max|y|, {checked.worst.tolerance:.1e} tolerated"
    )
    if checked.rounded is not None:
        console.print(
            rounding_told(launched.prepared.allocation.model.activations, checked.rounded)
        )
    show_warnings(console, launched.warnings)
    say(console, f"next: edgesplit bench {escape(quote(str(path)))}")


def show_warnings(console: Console, warnings: Iterable[str]) -> None:
    """Print what went well but may not stay so."""
    for warning in warnings:
        say(console, f"[yellow]warning:[/] {escape(warning)}")


def took_over(mode: Mode) -> str:
    """Tell how a release took over from what ran before; empty where nothing changed."""
    return _MODES[mode]


def _deployed(launched: Launched) -> str:
    record, built = launched.record, launched.prepared.built
    devices = ", ".join(record.programs)
    if not launched.changed:
        return f"[green]runs already[/] on {devices} (epoch {record.epoch}); nothing was changed"
    kept = [name for name in record.programs if name not in launched.changed]
    told = (
        f"epoch {record.epoch}",
        f"{built.new} of {len(built.shards)} shards were new",
        f"{format_bytes(launched.pushed)} pushed",
        f"{', '.join(kept)} went on running" if kept else "",
        took_over(launched.mode),
    )
    return f"[green]deployed[/] to {devices} ({'; '.join(filter(None, told))})"


def show_down(devices: tuple[str, ...], *, dry_run: bool) -> None:
    """Tell which executors were stopped, or would be."""
    people().print(f"{'would stop' if dry_run else 'stopped'} {', '.join(devices)}")
