"""How a change that is to come reads, and one that was taken back."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from rich.markup import escape
from rich.table import Table

from edgesplit.deploy.preview import Change, Preview
from edgesplit.deploy.rollout import Mode
from edgesplit.operate.launch import RolledBack
from edgesplit.report.console import people, plain, say
from edgesplit.report.deployment import record_result, show_warnings, took_over
from edgesplit.spec.units import format_bytes

_COLOURS = {"add": "green", "change": "yellow", "keep": "dim", "drop": "red"}
_WOULD: dict[Mode, str] = {
    "unchanged": "it runs already: nothing would be changed",
    "first": "nothing runs there yet",
    "rolled": "the old release would answer until the new one does",
    "drained": "[yellow]the old release would have to end before the new one begins[/]: "
    "requests would wait",
}


def show_preview(preview: Preview) -> None:
    """Print what a deployment would do to each device, and how it would take over."""
    table = Table(title="would change")
    for heading in ("device", "action", "push", "keep"):
        table.add_column(heading)
    for change in preview.changes:
        table.add_row(*_row(change))
    console = people()
    console.print(table)
    console.print(_WOULD[preview.mode])
    show_warnings(console, preview.warnings)


def _row(change: Change) -> tuple[str, ...]:
    return (
        change.device,
        f"[{_COLOURS[change.action]}]{change.action}[/]",
        *(
            f"{len(blobs)} blobs, {format_bytes(sum(blobs.values()))}" if blobs else "-"
            for blobs in (change.push, change.keep)
        ),
    )


def rollback_result(done: RolledBack, *, dry_run: bool) -> dict[str, object]:
    """Return a rollback as machines read it; of a dry run, the release that it would go to."""
    return record_result(done.record) | {
        "dry_run": dry_run,
        "mode": done.mode,
        "changed": sorted(done.changed),
        "kept": plain(done.kept),
        "warnings": list(done.warnings),
    }


def show_rollback(done: RolledBack, path: Path, *, dry_run: bool) -> None:
    """Tell what a deployment has gone back to, or would."""
    console = people()
    devices = ", ".join(done.record.programs)
    if dry_run:
        console.print(f"would go back to what epoch {done.record.epoch} ran, on {devices}")
        console.print(_WOULD[done.mode])
    else:
        how = took_over(done.mode)
        told = "; ".join(filter(None, (f"now epoch {done.record.epoch}", how)))
        console.print(f"[green]went back[/] to the release before, on {devices} ({told})")
    if done.kept is not None:
        verb = "would be" if dry_run else "is"
        say(console, f"the present allocation file {verb} kept as {escape(str(done.kept))}")
    show_warnings(console, done.warnings)
    if not dry_run:
        say(console, f"next: edgesplit status {escape(quote(str(path)))}")
