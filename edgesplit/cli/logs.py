"""`logs`: what the executors of a deployment wrote."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from edgesplit.cli.arguments import AllocationFile
from edgesplit.errors import ExitCode


def logs(
    allocation: AllocationFile,
    device: Annotated[
        list[str] | None, typer.Argument(help="Devices; all by default.", show_default=False)
    ] = None,
    *,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="Last lines of each device.")
    ] = 50,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document a line to stdout.")
    ] = False,
) -> None:
    """Show the logs of all devices, or of some; exit code 3 when one can't be had."""
    from edgesplit.deploy.record import load_record, record_path
    from edgesplit.operate.logs import Silence, follow, open_logs, tail
    from edgesplit.report.logs import LogView, show_log_json

    record = load_record(record_path(allocation))
    silent = False
    with open_logs(record, device or ()) as crew:
        show = show_log_json if as_json else LogView(tuple(crew.stations)).show
        with closing((follow if following else tail)(crew, lines)) as events:
            for event in events:
                show(event)
                silent |= isinstance(event, Silence)
    if silent:
        raise typer.Exit(ExitCode.DEGRADED)
