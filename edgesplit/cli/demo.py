"""`demo`: the whole story on this machine, in under two minutes."""

from __future__ import annotations

import typer

from edgesplit.cli.arguments import Json
from edgesplit.errors import ExitCode


def demo(as_json: Json = False) -> None:
    """Start a local cluster, read handwritten digits, kill a device, lose nothing."""
    from edgesplit.operate.demo import show, stand
    from edgesplit.report.console import write_json
    from edgesplit.report.demo import demo_result, introduce, show_outcome
    from edgesplit.report.drill import DrillView
    from edgesplit.report.progress import LaunchProgress

    with LaunchProgress() as progress, stand(progress) as cluster:
        progress.stop()
        introduce(cluster)
        with DrillView() as view:
            shown = show(cluster, view)
    if as_json:
        write_json(demo_result(shown))
    else:
        show_outcome(shown)
    if not shown.verdict.passed:
        raise typer.Exit(ExitCode.FAILURE)
