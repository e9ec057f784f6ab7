"""`init`, `plan` and `schema`: from nothing to an allocation file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesplit.cli.arguments import Json, Trace, check_apart, checked_place

if TYPE_CHECKING:
    from edgesplit.plan.planner import Planned
    from edgesplit.report.planning import Findings


class FileKind(StrEnum):
    """The files that a person writes."""

    CLUSTER = "cluster"
    MODEL = "model"


class Strategy(StrEnum):
    """How to choose who does what."""

    PROCEDURE1 = "procedure1"
    SEARCH = "search"
    RANDOM = "random"
    SINGLE = "single"


class Activations(StrEnum):
    """How floats travel between devices."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    UINT8 = "uint8"


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a commented cluster file and model file to start from."""
    from edgesplit.report.planning import show_starter
    from edgesplit.spec.starter import write_starter

    show_starter(*write_starter(folder, force=force))


Explained = Annotated[
    bool,
    typer.Option("--explain", help="Say why each stage is split as it is, and the next best."),
]


def plan(
    cluster: Annotated[Path, typer.Argument(help="Cluster file.", show_default=False)],
    model: Annotated[Path, typer.Argument(help="Model file.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", callback=checked_place, help="Allocation file to write."),
    ] = Path("allocation.yaml"),
    *,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan; write no file.")] = False,
    strategy: Annotated[
        Strategy,
        typer.Option(help="The paper's heuristics, the search, or a baseline to compare with."),
    ] = Strategy.PROCEDURE1,
    seed: Annotated[int, typer.Option(help="Which of the random assignments.")] = 0,
    activations: Annotated[
        Activations | None,
        typer.Option(help="How floats travel between devices; else as the model file says."),
    ] = None,
    explained: Explained = False,
    compared: Annotated[
        bool, typer.Option("--compare", help="Plan by every strategy, side by side.")
    ] = False,
    trace: Trace = None,
) -> None:
    """Decide which device does what, and write it down as a task allocation."""
    from edgesplit.operate.rounding import rounding_of
    from edgesplit.operate.succession import succession
    from edgesplit.plan.compare import compare
    from edgesplit.plan.planner import load_problem
    from edgesplit.report.console import working
    from edgesplit.report.planning import Findings
    from edgesplit.zoo.cache import cache_folder

    check_apart(trace, output, cluster, model)
    with working("planning"):
        problem = load_problem(
            cluster, model, cache_folder(), activations.value if activations else None
        )
        planned = problem.solve(strategy.value, seed)
        found = Findings(
            follows=succession(planned.allocation, output),
            explanation=problem.explained(planned, strategy.value, seed) if explained else None,
            outcomes=compare(problem, seed) if compared else (),
            rounded=rounding_of(planned),
        )
    place = None if dry_run else output
    _save(planned, place, trace)
    _tell(planned, place, found, as_json=as_json)


def _tell(planned: Planned, place: Path | None, found: Findings, *, as_json: bool) -> None:
    from edgesplit.report.console import write_json
    from edgesplit.report.planning import plan_result, show_plan

    if as_json:
        write_json(plan_result(planned, place, found))
    else:
        show_plan(planned, place, found)


def _save(planned: Planned, output: Path | None, trace: Path | None) -> None:
    from edgesplit.plan.file import write_allocation
    from edgesplit.plan.tracing import predicted_timeline
    from edgesplit.report.trace import save_trace

    if output is not None:
        write_allocation(planned.allocation, output)
    if trace is not None:
        save_trace({"plan": predicted_timeline(planned)}, trace)


def schema(
    kind: Annotated[FileKind, typer.Argument(help="Which file.", show_default=False)],
) -> None:
    """Write the JSON Schema of a file to stdout, for editors."""
    from edgesplit.report.console import write_json
    from edgesplit.spec.jsonschema import json_schema

    write_json(json_schema(kind.value))
