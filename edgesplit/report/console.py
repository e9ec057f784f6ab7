"""Where reports go: tables and progress to stderr for people, JSON to stdout for machines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from edgesplit.dataflow.region import Region

RECOVERED = "[dim]recovered: parity completed the answer; it was faster, or a device was lost[/]"
"""What people have to know to read a count of recovered requests."""


def people() -> Console:
    """Return the console that people read: stderr, so that stdout is for machines alone."""
    return Console(stderr=True, highlight=False)


def say(console: Console, line: str) -> None:
    """Print a line of markup unwrapped: a path or a command in it is copied whole."""
    console.print(line, soft_wrap=True)


def write_json(result: object) -> None:
    """Write a result object to stdout as JSON, one document.

    Raises:
        OSError: The disk is full or nobody reads; it is flushed, so that this is known here.
    """
    sys.stdout.write(json.dumps(plain(result), indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def write_json_line(result: object) -> None:
    """Write a result object to stdout as JSON on one line, one of several; errors as above."""
    sys.stdout.write(json.dumps(plain(result), allow_nan=False) + "\n")
    sys.stdout.flush()


def plain(thing: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return dataclasses, paths and regions as what JSON knows; what is no number becomes null."""
    if is_dataclass(thing) and not isinstance(thing, type) and not isinstance(thing, Region):
        return {field.name: plain(getattr(thing, field.name)) for field in fields(thing)}
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | set | frozenset):
        return [plain(part) for part in thing]
    if isinstance(thing, Path | Region):
        return str(thing)
    if isinstance(thing, float) and not math.isfinite(thing):
        return None
    return thing


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a spinner on stderr while a step runs, where stderr is a terminal."""
    console = people()
    with console.status(what) if console.is_terminal else nullcontext():
        yield
