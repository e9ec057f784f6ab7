"""`doctor`: whether a cluster's devices can have a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgesplit.cli.arguments import Json
from edgesplit.cli.hostkeys import asking
from edgesplit.errors import ExitCode


def doctor(
    cluster: Annotated[Path, typer.Argument(help="Cluster file.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Look at every device and change nothing; exit code 1 when one can't have a deployment."""
    from edgesplit.deploy.findings import Level
    from edgesplit.deploy.preflight import examine_cluster
    from edgesplit.report.console import working, write_json
    from edgesplit.report.doctor import doctor_result, show_doctor
    from edgesplit.spec.cluster_file import load_cluster

    found = load_cluster(cluster)
    with working("looking at the devices"):
        checkups = examine_cluster(found, asking())
    if as_json:
        write_json(doctor_result(checkups))
    else:
        show_doctor(checkups)
    if any(one.level is Level.REFUSAL for one in checkups):
        raise typer.Exit(ExitCode.FAILURE)
