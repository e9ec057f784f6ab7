"""How a tuning reads: what each round promised, what it reached, and where work waited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from edgesplit.operate.bench import Run
from edgesplit.operate.tune import Round
from edgesplit.report.bench import run_result
from edgesplit.report.console import people, plain, say
from edgesplit.spec.units import format_seconds


def tuning_result(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the rounds as machines read them, seconds and requests a second."""
    return {"rounds": [_round_result(one) for one in rounds], "best": _best(rounds).number}


def show_rounds(rounds: Sequence[Round], path: Path) -> None:
    """Print a line a round, and which of the plans is deployed now."""
    table = Table(title="tuning")
    table.add_column("round")
    for heading in (
        "predicted latency",
        "measured",
        "error",
        "throughput",
        "longest queue",
        "next plan promises",
    ):
        table.add_column(heading, justify="right")
    for one in rounds:
        table.add_row(*_row(one))
    console = people()
    console.print(table)
    best = _best(rounds)
    console.print(f"deployed: the plan of round {best.number}, the fastest that was measured")
    if not rounds[-1].settled:
        console.print("[yellow]not settled[/]: more rounds may still gain")
    say(console, f"wrote [bold]{escape(str(path))}[/]")


def _best(rounds: Sequence[Round]) -> Round:
    return min(rounds, key=lambda one: one.reached)


def _row(one: Round) -> tuple[str, ...]:
    return (
        str(one.number),
        format_seconds(one.allocation.predicted.latency),
        format_seconds(one.alone.latency.mean),
        f"{one.error:+.1%}",
        f"{one.loaded.throughput:.3g}/s of {one.allocation.predicted.throughput:.3g}",
        _longest(one.loaded),
        format_seconds(one.promised.latency),
    )


def _longest(run: Run) -> str:
    """Name the device where tasks wait most, and how many do on average."""
    device = max(run.devices, key=lambda device: device.queue)
    return f"{device.device}: {device.queue[0]:.1f}"


def _round_result(one: Round) -> dict[str, Any]:
    return {
        "number": one.number,
        "stages": plain(one.allocation.stages),
        "replicas": plain(one.allocation.replicas),
        "error": one.error,
        "settled": one.settled,
        "alone": run_result(one.alone),
        "loaded": run_result(one.loaded),
        "promised": plain(one.promised),
    }
