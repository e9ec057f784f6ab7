"""Arguments and options that several verbs share."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edgesplit.errors import UsageError

# What only one kind of file says at its top level.
_TELLING = {"devices": "cluster", "source": "model"}


def checked_allocation(path: Path) -> Path:
    """Return the path, unless its file is plainly one of those that a plan is made from.

    Raises:
        UsageError: It is a cluster file or a model file.
    """
    keys: set[str] = set()
    with suppress(OSError, ValueError):  # What can't be read is explained by who reads it.
        keys = set(re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE))
    kind = next((kind for key, kind in _TELLING.items() if key in keys), None)
    if kind is None or "stages" in keys:
        return path
    files = {"cluster": "CLUSTER", "model": "MODEL"} | {kind: quote(str(path))}
    raise UsageError(
        f"this is a {kind} file, not an allocation file",
        where=str(path),
        remedy=f"edgesplit plan {files['cluster']} {files['model']} -o allocation.yaml, "
        "and give this command allocation.yaml",
    )


AllocationFile = Annotated[
    Path,
    typer.Argument(
        help="Allocation file that `edgesplit plan` wrote.",
        show_default=False,
        callback=checked_allocation,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
Seed = Annotated[int, typer.Option(help="Seed of the generated inputs.")]


def checked_place(path: Path | None) -> Path | None:
    """Return the path of a file to write, before any work is done for it.

    Raises:
        UsageError: Nothing can be written there.
    """
    if path is None:
        return None
    if path.is_dir():
        raise UsageError("this is a folder", where=str(path), remedy="name a file in it")
    if not path.parent.is_dir():
        raise UsageError(
            f"there is no folder {path.parent}",
            where=str(path),
            remedy=f"make it first: mkdir -p {quote(str(path.parent))}",
        )
    if not os.access(path.parent, os.W_OK):
        raise UsageError(
            f"the folder {path.parent} can't be written",
            where=str(path),
            remedy="name a folder that you may write to",
        )
    return path


Trace = Annotated[
    Path | None,
    typer.Option("--trace", callback=checked_place, help="Save the timeline for a trace viewer."),
]


def check_apart(path: Path | None, *others: Path | None) -> None:
    """See that a file to write is none of the others that a command reads or writes.

    Raises:
        UsageError: It is one of them.
    """
    if path is not None and path.resolve() in {one.resolve() for one in others if one is not None}:
        raise UsageError(
            "the same file is named for two things",
            where=str(path),
            remedy="give each a name of its own",
        )
