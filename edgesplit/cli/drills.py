"""`fail-node`: break a device on purpose and prove that no request was lost."""

from __future__ import annotations

from typing import Annotated

import typer

from edgesplit.cli.arguments import AllocationFile, Json, Seed
from edgesplit.errors import ExitCode


def fail_node(
    allocation: AllocationFile,
    device: Annotated[str, typer.Argument(help="Device to break.", show_default=False)],
    *,
    requests: Annotated[
        int, typer.Option("--requests", "-n", min=1, help="Requests in each phase.")
    ] = 200,
    rate: Annotated[
        float | None, typer.Option(help="Requests per second; by default half of the capacity.")
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="SIGSTOP instead of SIGKILL: the harder fault.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Run once more with nothing harmed, for comparison.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do it even if requests will be lost.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Kill a device's executor under load, restore it, and give a verdict.

    Exit code 0 only if no request was lost or answered wrongly.
    """
    from edgesplit.operate.drill import Drill, Fault
    from edgesplit.operate.drilling import drill_deployment
    from edgesplit.report.console import write_json
    from edgesplit.report.drill import DrillView, drill_result, show_verdict

    drill = Drill(device, Fault.PAUSE if freeze else Fault.KILL, requests)
    with DrillView() as view:
        verdict, beside = drill_deployment(
            allocation, drill, rate=rate, seed=seed, force=force, beside=control, on_progress=view
        )
    if as_json:
        write_json(drill_result(verdict, beside))
    else:
        show_verdict(verdict, beside)
    if not verdict.passed:
        raise typer.Exit(ExitCode.FAILURE)
