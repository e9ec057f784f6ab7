"""`deploy`, `status` and `down`: the life of a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgesplit.cli.arguments import AllocationFile, DryRun, Json
from edgesplit.errors import ExitCode


def deploy(allocation: AllocationFile, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Cut the model into shards, push them to the devices and start the executors."""
    if dry_run:
        _preview(allocation, as_json=as_json)
        return
    from edgesplit.operate.launch import launch
    from edgesplit.report.console import write_json
    from edgesplit.report.deployment import deployed_result, show_deployed
    from edgesplit.report.progress import LaunchProgress

    with LaunchProgress() as progress:
        launched = launch(allocation, progress, ask=_ask)
    if as_json:
        write_json(deployed_result(launched))
    else:
        show_deployed(launched, allocation)


def _preview(allocation: Path, *, as_json: bool) -> None:
    from edgesplit.operate.launch import preview
    from edgesplit.report.console import write_json
    from edgesplit.report.deployment import show_changes
    from edgesplit.report.progress import LaunchProgress

    with LaunchProgress() as progress:
        changes = preview(allocation, progress, ask=_ask)
    if as_json:
        write_json(changes)
    else:
        show_changes(changes)


def _ask(device: str, fingerprint: str) -> bool:
    """Decide on an unknown host key, where the cluster file says `host_keys: ask`."""
    return typer.confirm(f"{device} has the unknown host key {fingerprint}; trust it?", err=True)


def status(
    allocation: AllocationFile,
    as_json: Json = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each device.")] = 3.0,
) -> None:
    """Show what each device of a deployment is doing; exit code 3 when one is not ready."""
    from edgesplit.deploy.keys import gateway_keys
    from edgesplit.deploy.record import load_record, record_path
    from edgesplit.operate.status import status as ask_status
    from edgesplit.report.console import write_json
    from edgesplit.report.deployment import show_status

    record = load_record(record_path(allocation))
    result = ask_status(record, gateway_keys().secret, timeout=timeout)
    if as_json:
        write_json(result)
    else:
        show_status(result)
    if not result.whole:
        raise typer.Exit(ExitCode.DEGRADED)


def down(
    allocation: AllocationFile,
    purge: Annotated[bool, typer.Option("--purge", help="Remove shards and keys as well.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Stop the executors of a deployment."""
    from edgesplit.operate.launch import take_down
    from edgesplit.report.deployment import show_down

    show_down(take_down(allocation, purge=purge, dry_run=dry_run), dry_run=dry_run)
