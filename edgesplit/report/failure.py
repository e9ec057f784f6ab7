"""How an error reads: where, what happened, what to do."""

from __future__ import annotations

from rich.markup import escape

from edgesplit.errors import EdgesplitError, SpecErrors
from edgesplit.report.console import people


def show_error(error: EdgesplitError) -> None:
    """Print an error to stderr, each part of a compound one on its own."""
    for part in error.errors if isinstance(error, SpecErrors) else (error,):
        _show(part)


def _show(error: EdgesplitError) -> None:
    place = f"[bold]{escape(error.where)}:[/] " if error.where else ""
    console = people()
    console.print(f"[red]error:[/] {place}{escape(error.what)}", soft_wrap=True)
    if error.remedy:
        console.print(f"  [green]try:[/] {escape(error.remedy)}", soft_wrap=True)
