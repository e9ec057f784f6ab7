"""How a drill reads: the phases side by side, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.live import Live
from rich.table import Table

from edgesplit.operate.drill import Fault, Phase, PhaseResult, Progress, Verdict
from edgesplit.operate.load import Outcome
from edgesplit.report.console import RECOVERED, people, plain
from edgesplit.spec.units import format_seconds

_SHOWN = (Phase.BEFORE, Phase.DURING, Phase.AFTER)


class DrillView:
    """Shows a drill as it goes: a live table on a terminal, a line an event elsewhere."""

    def __init__(self) -> None:
        self._console = people()
        self._live = Live(console=self._console, transient=True, refresh_per_second=8)
        self._counts: dict[Phase, dict[str, int]] = {}
        self._event = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Take a piece of progress, in the thread that leads the drill."""
        if progress.event:
            self._event = progress.event
            if not self._console.is_terminal:
                self._console.print(f"{progress.phase.value}: {progress.event}")
        if progress.sample is not None:
            counts = self._counts.setdefault(progress.phase, {})
            for name in (progress.sample.outcome.value, "sent"):
                counts[name] = counts.get(name, 0) + 1
            if progress.sample.recovered:
                counts["recovered"] = counts.get("recovered", 0) + 1
        if self._console.is_terminal:
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table(title=f"under load: {self._event}")
        names = ("sent", *(outcome.value for outcome in Outcome), "recovered")
        for heading in ("phase", *names):
            table.add_column(heading)
        for phase, counts in self._counts.items():
            table.add_row(phase.value, *(str(counts.get(name, 0)) for name in names))
        return table


def drill_result(verdict: Verdict, beside: Verdict | None = None) -> dict[str, Any]:
    """Return a verdict as machines read it; `beside` is the control run with nothing harmed."""
    return {
        "device": verdict.drill.device,
        "fault": verdict.drill.fault.value,
        "passed": verdict.passed,
        "restored": verdict.restored,
        "total": plain(verdict.total),
        "phases": [_phase_result(verdict.phase(phase)) for phase in _SHOWN],
        "p99_ratio": verdict.p99_ratio,
        "control_p99_ratio": beside.p99_ratio if beside else None,
    }


def _phase_result(result: PhaseResult) -> dict[str, Any]:
    return {
        "phase": result.phase.value,
        "counts": plain(result.counts),
        "latency": plain(result.latency),
    }


def show_verdict(
    verdict: Verdict,
    beside: Verdict | None = None,
    accuracy: Mapping[Phase, float] | None = None,
) -> None:
    """Print the phases of a drill side by side, and what it proved."""
    console = people()
    console.print(_verdict_table(verdict, accuracy))
    if verdict.total.recovered:
        console.print(RECOVERED)
    console.print(f"p99 during / before: {verdict.p99_ratio:.2f}")
    if beside is not None:
        console.print(f"p99 during / before with nothing harmed: {beside.p99_ratio:.2f}")
    if not verdict.restored:
        console.print(f"[yellow]{verdict.drill.device} did not come back in time[/]")
    console.print(_sentence(verdict))


def _verdict_table(verdict: Verdict, accuracy: Mapping[Phase, float] | None) -> Table:
    title = "control" if verdict.drill.fault is Fault.NONE else verdict.drill.fault.value
    table = Table(title=f"{title} {verdict.drill.device} under load")
    table.add_column("")
    for phase in _SHOWN:
        table.add_column(phase.value, justify="right")
    phases = [verdict.phase(phase) for phase in _SHOWN]
    for name in ("sent", "answered", "lost", "wrong", "late", "duplicated", "recovered"):
        table.add_row(name, *(str(getattr(result.counts, name)) for result in phases))
    if accuracy is not None:
        table.add_row("accuracy", *(f"{accuracy[phase]:.1%}" for phase in _SHOWN))
    for name in ("mean", "p50", "p99", "max"):
        cells = (format_seconds(getattr(result.latency, name)) for result in phases)
        table.add_row(f"latency {name}", *cells)
    return table


def _sentence(verdict: Verdict) -> str:
    total = verdict.total
    faults = f"{total.lost} lost, {total.wrong} wrong, {total.duplicated} answered twice"
    colour, word = ("green", "passed") if verdict.passed else ("red", "failed")
    return f"[{colour}]{word}[/]: {total.sent} requests, {faults}, {total.recovered} recovered"
