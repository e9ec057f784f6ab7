"""How a measurement reads: latency, throughput, where the time went, predicted beside measured."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from edgesplit.operate.bench import Comparison, Run
from edgesplit.report.console import RECOVERED, people, plain
from edgesplit.report.rounding import off_by_rounding
from edgesplit.spec.units import format_bytes, format_seconds

_HEADINGS = (
    "requests",
    "lost / wrong / late",
    "recovered",
    "latency mean",
    "latency p50",
    "latency p90",
    "latency p99",
    "predicted latency",
    "throughput",
    "predicted throughput",
)


def bench_result(comparison: Comparison) -> dict[str, Any]:
    """Return a measurement as machines read it, seconds and bytes, raw samples left out."""
    return {
        "runs": [run_result(run) for run in comparison.runs],
        "gain": plain(_gain(comparison)),
    }


def run_result(run: Run) -> dict[str, Any]:
    """Return one run as machines read it."""
    return {
        "name": run.name,
        "counts": plain(run.counts),
        "latency": plain(run.latency),
        "throughput": run.throughput,
        "prediction": plain(run.prediction),
        "devices": plain(run.devices),
        "rounding": run.rounding,
        "critical_path": plain(run.breakdown),
        "slip": run.slip,
        "slip_limit": run.slip_limit,
        "void": run.void,
        "note": run.note,
    }


def _gain(comparison: Comparison) -> Any:  # noqa: ANN401 - None where there is one run
    names = [run.name for run in comparison.runs]
    return comparison.gain(names[0], names[1]) if len(names) > 1 else None


def show_bench(comparison: Comparison) -> None:
    """Print a measurement, runs side by side."""
    console = people()
    table = Table(title="measured in alternating rounds" if len(comparison.runs) > 1 else None)
    table.add_column("")
    for run in comparison.runs:
        table.add_column(run.name, justify="right")
    for row in zip(_HEADINGS, *map(_cells, comparison.runs), strict=True):
        table.add_row(*row)
    console.print(table)
    if any(run.counts.recovered for run in comparison.runs):
        console.print(RECOVERED)
    for run in comparison.runs:
        _show_devices(run)
        _show_path(run)
        if run.rounding is not None:
            console.print(f"{run.name}: {off_by_rounding(run.rounding)}")
        if run.note:
            console.print(f"note: {run.note}")
        if run.void:
            console.print(f"[red]void[/]: {run.name}: {escape(run.void)}")
    gain = _gain(comparison)
    if gain is not None:
        doubt = " [red](void)[/]" if comparison.void else ""
        console.print(
            f"gain over {comparison.runs[1].name}: latency [bold]{gain.latency:.2f}x[/], "
            f"throughput [bold]{gain.throughput:.2f}x[/]{doubt}"
        )


def _cells(run: Run) -> tuple[str, ...]:
    counts, latency = run.counts, run.latency
    return (
        f"{counts.sent}",
        f"{counts.lost} / {counts.wrong} / {counts.late}",
        f"{counts.recovered}",
        *map(format_seconds, (latency.mean, latency.p50, latency.p90, latency.p99)),
        _predicted_latency(run),
        f"{run.throughput:.4g}/s",
        _predicted_throughput(run),
    )


def _show_devices(run: Run) -> None:
    table = Table(title=f"devices: {run.name}")
    for heading in (
        "device",
        "busy",
        "queue mean",
        "queue max",
        "memory peak",
        "predicted",
        "slip",
    ):
        table.add_column(heading, justify="left" if heading == "device" else "right")
    for device in run.devices:
        table.add_row(
            device.device,
            f"{device.busy:.0%}",
            f"{device.queue[0]:.2f}",
            str(device.queue[1]),
            format_bytes(device.anon_peak),
            format_bytes(device.memory) if device.memory is not None else "-",
            f"{device.slip_share:.1%}",
        )
    people().print(table)


def _show_path(run: Run) -> None:
    path = run.breakdown
    if path is None:
        return
    parts = ("compute", "wire", "waiting", "overhead")
    told = ", ".join(f"{part} {format_seconds(getattr(path, part))}" for part in parts)
    if any(device.paced for device in run.devices):
        told += f"; of it slip of paced devices {format_seconds(run.slip)}"
    people().print(f"critical path of {run.name} (mean of {run.explained} requests): {told}")


def _predicted_latency(run: Run) -> str:
    if run.prediction is None:
        return "-"
    return f"{format_seconds(run.prediction.latency)} ({run.latency_error:+.0%})"


def _predicted_throughput(run: Run) -> str:
    if run.prediction is None:
        return "-"
    return f"{run.prediction.throughput:.4g}/s ({run.throughput_error:+.0%})"
