"""`profile`: what a model's kernels cost on the devices themselves."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edgesplit.cli.arguments import DryRun, Json
from edgesplit.cli.hostkeys import asking

Force = Annotated[
    bool, typer.Option("--force", help="Measure beside a deployment that runs there.")
]
Again = Annotated[bool, typer.Option("--again", help="Measure what is known already as well.")]


def profile(
    cluster: Annotated[Path, typer.Argument(help="Cluster file.", show_default=False)],
    model: Annotated[Path, typer.Argument(help="Model file.", show_default=False)],
    *,
    force: Force = False,
    again: Again = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Time a model's layers and their parts on the devices, and their links.

    One device of each class is measured; what is known already is not measured again.
    """
    from edgesplit.operate.pairs import measure_links, unmeasured
    from edgesplit.operate.profile import merged, profile_kernels, profiles_folder, todo
    from edgesplit.operate.refining import refine
    from edgesplit.operate.rehearsal import rehearse, unrehearsed
    from edgesplit.plan.databases import load_databases
    from edgesplit.plan.planner import Problem, graph_of, load_files
    from edgesplit.report import profile as report
    from edgesplit.report.console import working, write_json
    from edgesplit.report.progress import LaunchProgress
    from edgesplit.zoo.cache import cache_folder

    devices, spec = load_files(cluster, model)
    with working("reading the model"):
        graph = graph_of(spec, cache_folder())
        known = load_databases(profiles_folder())
        wanted = todo(devices, graph, known, again=again)
        pairs = unmeasured(devices, known, again=again)
        crowd = unrehearsed(devices, known) or (again and len(devices.devices) > 1)
    if dry_run and as_json:
        write_json(report.todo_result(wanted, pairs, rehearsal=crowd))
        return
    if dry_run:
        report.show_todo(wanted, pairs, rehearsal=crowd)
        return
    with LaunchProgress() as progress:
        done = profile_kernels(devices, graph, wanted, progress, asking(), force=force)
        links = measure_links(devices, pairs, progress, asking(), force=force)
        found = rehearse(devices, progress, asking(), force=force) if crowd else ()
        problem = Problem(graph, devices, spec, load_databases(profiles_folder()))
        done = merged((*done, *refine(problem, progress, asking(), force=force)))
    kept = load_databases(profiles_folder())
    if as_json:
        write_json(report.profile_result(done, links, kept, found))
    else:
        files = f"{quote(str(cluster))} {quote(str(model))}"
        report.show_profile(done, links, kept, found, files)
