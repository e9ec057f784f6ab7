"""How reasons read: why a plan is as it is, and what other strategies would reach."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from edgesplit.plan.allocation import Prediction, Stage
from edgesplit.plan.compare import Outcome
from edgesplit.plan.explain import Choice, Explanation
from edgesplit.report.console import people
from edgesplit.spec.units import format_bytes, format_seconds


def show_explanation(explanation: Explanation, prediction: Prediction, objective: str) -> None:
    """Print a table of the stages with their runners-up, and what one device more would buy."""
    table = Table(title="why each stage is split as it is")
    for heading in ("layers", "split"):
        table.add_column(heading, overflow="fold")
    for heading in ("on one device", "slowest share", "fetched"):
        table.add_column(heading, justify="right")
    table.add_column("next best", overflow="fold")
    table.add_column("would add", justify="right")
    for choice in explanation.choices:
        table.add_row(*_choice(choice))
    console = people()
    console.print(table)
    console.print(_larger(explanation.larger, prediction, objective))


def show_comparison(outcomes: Sequence[Outcome]) -> None:
    """Print strategies side by side."""
    table = Table(title="strategies")
    table.add_column("strategy")
    for heading in ("latency", "throughput", "devices", "may die"):
        table.add_column(heading, justify="right")
    for one in outcomes:
        table.add_row(*_outcome(one))
    people().print(table)


def way(stages: Sequence[Stage]) -> str:
    """Return in a few words how stages are split, and over how many devices."""
    return ", then ".join(dict.fromkeys(map(_way, stages)))


def _choice(choice: Choice) -> tuple[str, ...]:
    penalty = format_seconds(abs(choice.penalty))
    return (
        escape("..".join(dict.fromkeys((choice.stage.layers[0], choice.stage.layers[-1])))),
        _way(choice.stage),
        format_seconds(choice.alone),
        format_seconds(choice.share),
        format_bytes(choice.fetched),
        way(choice.runner_up) or "-",
        f"{'-' if choice.penalty < 0 else '+'}{penalty}" if choice.runner_up else "",
    )


def _way(stage: Stage) -> str:
    """`spatial on 12, one layer` or `output on 4 with 1 of parity`."""
    told = f"{stage.split} on {len({share.device for share in stage.shares})}"
    if stage.split == "spatial":
        rows = len({share.tile[0] for share in stage.shares})
        columns = len({share.tile[-1] for share in stage.shares})
        told += f" ({rows} x {columns})" if rows > 1 < columns else " (strips)"
    if stage.parity:
        told += f" with {len(stage.parity)} of parity"
    if stage.merge:
        told += f", merged on {len(stage.merge)}"
    return told if len(stage.layers) == 1 else f"{told}, {len(stage.layers)} layers"


def _larger(larger: Prediction | None, now: Prediction, objective: str) -> str:
    if larger is None:
        return "the pins don't allow one device more"
    if objective == "throughput":
        told = f"{now.throughput:.3g} to {larger.throughput:.3g} requests/s"
        gain = larger.throughput / now.throughput
    else:
        told = f"{format_seconds(now.latency)} to {format_seconds(larger.latency)}"
        gain = now.latency / larger.latency
    return f"one device more, like the last: {told} ([bold]{gain:.2f}x[/])"


def _outcome(one: Outcome) -> tuple[str, ...]:
    name = f"{one.strategy} (mean of {one.draws})" if one.draws > 1 else one.strategy
    if one.refusal:
        return (name, f"[yellow]{escape(one.refusal)}[/]")
    return (
        name,
        format_seconds(one.latency),
        f"{one.throughput:.3g}/s",
        str(one.devices),
        str(one.survives),
    )
