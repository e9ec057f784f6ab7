"""`tune`: plan, deploy, measure, correct, and plan again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgesplit.cli.arguments import Json, Seed, checked_place
from edgesplit.cli.hostkeys import asking
from edgesplit.cli.planning import Strategy


def tune(
    cluster: Annotated[Path, typer.Argument(help="Cluster file.", show_default=False)],
    model: Annotated[Path, typer.Argument(help="Model file.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", callback=checked_place, help="Allocation file to write."),
    ] = Path("allocation.yaml"),
    *,
    strategy: Annotated[
        Strategy, typer.Option(help="How each round is planned.")
    ] = Strategy.PROCEDURE1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds at most.")] = 5,
    requests: Annotated[
        int, typer.Option("--requests", "-n", min=1, help="Requests to measure in each.")
    ] = 40,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Plan, deploy and measure, correct the costs by what was seen, and plan again.

    Ends when the prediction holds and the next plan promises no more; the best plan stays deployed.
    """
    from edgesplit.operate.tune import Tuning
    from edgesplit.operate.tune import tune as run_tuning
    from edgesplit.plan.planner import load_problem
    from edgesplit.report.console import working, write_json
    from edgesplit.report.progress import LaunchProgress
    from edgesplit.report.tuning import show_rounds, tuning_result
    from edgesplit.zoo.cache import cache_folder

    with working("reading the model"):
        problem = load_problem(cluster, model, cache_folder())
    tuning = Tuning(output, strategy.value, seed, rounds, requests)
    with LaunchProgress() as progress:
        found = run_tuning(problem, tuning, progress, asking())
    if as_json:
        write_json(tuning_result(found))
    else:
        show_rounds(found, output)
