"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AllocationFile = Annotated[
    Path, typer.Argument(help="Allocation file that `edgesplit plan` wrote.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
Seed = Annotated[int, typer.Option(help="Seed of the generated inputs.")]
