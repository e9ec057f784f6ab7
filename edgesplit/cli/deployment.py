"""`deploy`, `rollback`, `status` and `down`: the life of a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesplit.cli.arguments import AllocationFile, DryRun, Json
from edgesplit.cli.hostkeys import asking
from edgesplit.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from edgesplit.deploy.record import Record


def deploy(
    allocation: AllocationFile,
    *,
    rotate_keys: Annotated[
        bool, typer.Option("--rotate-keys", help="Have every device make a new key.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Cut the model into shards, push them to the devices, and change over to them.

    What runs there goes on answering until the new release does.
    """
    if dry_run:
        _preview(allocation, rotate_keys=rotate_keys, as_json=as_json)
        return
    from edgesplit.operate.launch import launch
    from edgesplit.report.console import write_json
    from edgesplit.report.deployment import deployed_result, show_deployed
    from edgesplit.report.progress import LaunchProgress

    with LaunchProgress() as progress:
        launched = launch(allocation, progress, ask=asking(), rotate_keys=rotate_keys)
    if as_json:
        write_json(deployed_result(launched))
    else:
        show_deployed(launched, allocation)


def _preview(allocation: Path, *, rotate_keys: bool, as_json: bool) -> None:
    from edgesplit.operate.launch import preview
    from edgesplit.report.changes import show_preview
    from edgesplit.report.console import write_json
    from edgesplit.report.progress import LaunchProgress

    with LaunchProgress() as progress:
        would = preview(allocation, progress, ask=asking(), rotate_keys=rotate_keys)
    if as_json:
        write_json(would)
    else:
        show_preview(would)


def rollback(allocation: AllocationFile, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Go back to the release before, and to its allocation file.

    The present file is kept as NAME.replaced.yaml.
    """
    from edgesplit.operate.launch import roll_back
    from edgesplit.report.changes import rollback_result, show_rollback
    from edgesplit.report.console import write_json
    from edgesplit.report.progress import LaunchProgress

    with LaunchProgress() as progress:
        done = roll_back(allocation, progress, ask=asking(), dry_run=dry_run)
    if as_json:
        write_json(rollback_result(done, dry_run=dry_run))
    else:
        show_rollback(done, allocation, dry_run=dry_run)


def status(
    allocation: AllocationFile,
    *,
    watching: Annotated[
        bool, typer.Option("--watch", help="Show it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two, with --watch.")] = 1.0,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each device.")] = 3.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON to stdout; with --watch one a line.")
    ] = False,
) -> None:
    """Show what each device of a deployment is doing; exit code 3 when one is not ready."""
    from edgesplit.deploy.keys import gateway_keys
    from edgesplit.deploy.record import load_record, record_path
    from edgesplit.operate.status import status as ask_status
    from edgesplit.report.console import write_json
    from edgesplit.report.status import show_status

    record = load_record(record_path(allocation))
    if watching:
        _watch(record, every, as_json=as_json)
        return
    result = ask_status(record, gateway_keys().secret, timeout=timeout)
    if as_json:
        write_json(result)
    else:
        show_status(result)
    if not result.whole:
        raise typer.Exit(ExitCode.DEGRADED)


def _watch(record: Record, every: float, *, as_json: bool) -> None:
    import time

    from edgesplit.deploy.keys import gateway_keys
    from edgesplit.operate.gateway import Gateway
    from edgesplit.operate.status import watch
    from edgesplit.report.console import people
    from edgesplit.report.status import show_live, write_statuses

    if not (as_json or people().is_terminal):
        raise UsageError(
            "there is no terminal to draw on", remedy="give --json as well: one status a line"
        )
    with Gateway(record, gateway_keys().secret) as gateway:
        gateway.wait_ready(frozenset(record.table.devices), every)
        (write_statuses if as_json else show_live)(watch(gateway, lambda: time.sleep(every)))


def down(
    allocation: AllocationFile,
    purge: Annotated[bool, typer.Option("--purge", help="Remove shards and keys as well.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Stop the executors of a deployment, on every device that it has or had."""
    from edgesplit.operate.launch import take_down
    from edgesplit.report.deployment import show_down

    show_down(take_down(allocation, purge=purge, dry_run=dry_run), dry_run=dry_run)
