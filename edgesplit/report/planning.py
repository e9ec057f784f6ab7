"""How a plan reads: what each device does, what that is expected to give, what it survives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import Any

from rich.markup import escape
from rich.table import Table

from edgesplit.operate.succession import Succession
from edgesplit.plan.allocation import Allocation, DevicePrediction, Prediction
from edgesplit.plan.compare import Outcome
from edgesplit.plan.coverage import why_not
from edgesplit.plan.explain import Explanation
from edgesplit.plan.planner import Planned
from edgesplit.report.console import people, plain, say
from edgesplit.report.duties import duties
from edgesplit.report.explaining import show_comparison, show_explanation
from edgesplit.report.rounding import rounding_told
from edgesplit.shards.oracle import Rounded
from edgesplit.spec.units import format_bytes, format_seconds


def show_starter(cluster: Path, model: Path) -> None:
    """Tell which starter files were written and what to do with them."""
    console = people()
    names, words = (
        [escape(form(str(path))) for path in (cluster, model, cluster.with_name("allocation.yaml"))]
        for form in (str, quote)
    )
    say(console, f"wrote [bold]{names[0]}[/] and [bold]{names[1]}[/]; both are commented")
    say(console, f"next: edgesplit plan {' '.join(words[:2])} -o {words[2]}")


@dataclass(frozen=True, slots=True)
class Findings:
    """What is told of a plan beside itself: what it follows, its reasons, its rivals.

    `rounded` is what rounding activations costs, None where none are.
    """

    follows: Succession | None = None
    explanation: Explanation | None = None
    outcomes: tuple[Outcome, ...] = ()
    rounded: Rounded | None = None


def plan_result(planned: Planned, path: Path | None, found: Findings) -> dict[str, Any]:
    """Return a plan as machines read it: stages, predictions, and why a loss isn't survived."""
    allocation, follows = planned.allocation, found.follows
    return {
        "follows": plain(follows) | {"mode": follows.mode} if follows else None,
        "file": plain(path),
        "stages": plain(allocation.stages),
        "replicas": plain(allocation.replicas),
        "prediction": plain(allocation.prediction),
        "bound": plain(planned.bound),
        "gap": planned.gap,
        "not_survived": _not_survived(planned),
        "explanation": plain(found.explanation),
        "strategies": plain(found.outcomes),
        "rounding": plain(found.rounded),
    }


def show_plan(planned: Planned, path: Path | None, found: Findings) -> None:
    """Print the allocation as a table, with its predictions and what was found beside it."""
    console = people()
    allocation, prediction = planned.allocation, planned.allocation.predicted
    many = len(prediction.devices)
    title = f"{planned.graph.name} over {many} device{'' if many == 1 else 's'}"
    console.print(_figures(allocation, prediction, title))
    console.print(_tasks(allocation, prediction))
    for line in _summary(planned, prediction):
        console.print(line)
    if found.explanation is not None:
        show_explanation(found.explanation, prediction, allocation.model.objective)
    if found.outcomes:
        show_comparison(found.outcomes)
    activations = planned.allocation.model.activations
    if found.rounded is not None:
        console.print(rounding_told(activations, found.rounded))
    elif activations != "float32":
        console.print("no activation crosses between devices, so none is rounded")
    if found.follows is not None:
        console.print(_succession(found.follows))
    if path is not None:
        say(console, f"wrote [bold]{escape(str(path))}[/]")
        say(console, f"next: edgesplit deploy {escape(quote(str(path)))}")


def _figures(allocation: Allocation, prediction: Prediction, title: str) -> Table:
    table = Table(title=title)
    table.add_column("device")
    for heading in ("memory", "weights", "budget", "compute", "transfer"):
        table.add_column(heading, justify="right")
    for device in prediction.devices:
        table.add_row(*_row(device, allocation))
    return table


def _tasks(allocation: Allocation, prediction: Prediction) -> Table:
    """Tasks apart from the figures: there may be many, and each needs its line."""
    table = Table()
    table.add_column("device")
    table.add_column("tasks", overflow="fold")
    for device in prediction.devices:
        ways = (duties(stages, device.device) for stages in allocation.variants)
        table.add_row(device.device, escape("\n".join(chain.from_iterable(ways))))
    return table


def _row(device: DevicePrediction, allocation: Allocation) -> tuple[str, ...]:
    return (
        device.device,
        format_bytes(device.memory),
        format_bytes(device.weights),
        format_bytes(allocation.cluster.device(device.device).memory),
        format_seconds(device.compute),
        format_seconds(device.transfer),
    )


def _summary(planned: Planned, prediction: Prediction) -> list[str]:
    survived = ", ".join(prediction.survives) or "none"
    lines = [
        f"predicted latency: [bold]{format_seconds(prediction.latency)}[/]",
        f"predicted throughput: [bold]{prediction.throughput:.3g} requests/s[/]",
        _limit(planned),
        f"loses no request when one of these dies: [bold]{survived}[/]",
    ]
    if planned.allocation.replicas:
        ways = len(planned.allocation.variants)
        lines.append(f"requests take turns between [bold]{ways} replicas[/] of the whole model")
    exposed = _not_survived(planned)
    if exposed:
        lines.append(f"not covered: {', '.join(exposed)}")
    used = {device.device for device in prediction.devices}
    idle = [d.name for d in planned.allocation.cluster.devices if d.name not in used]
    if idle:
        lines.append(f"idle, since using them would not help: {', '.join(idle)}")
    return lines


def _limit(planned: Planned) -> str:
    if planned.allocation.model.objective == "latency":
        least = format_seconds(planned.bound.latency)
        return f"no plan can be faster than {least} (this one is {planned.gap:.2f} times that)"
    most = f"{planned.bound.throughput:.3g} requests/s"
    return f"no plan can answer more than {most} ({planned.gap:.2f} times this one)"


def _succession(follows: Succession) -> str:
    if not follows.excesses:
        return f"can follow epoch {follows.epoch} while it goes on answering"
    told = ", ".join(
        f"{one.device} would need {format_bytes(one.old + one.new)} of {format_bytes(one.budget)}"
        for one in follows.excesses
    )
    return (
        f"[yellow]epoch {follows.epoch} must drain first[/], unless the shards are the same: both "
        f"don't fit ({told}), so requests wait meanwhile"
    )


def _not_survived(planned: Planned) -> dict[str, str]:
    table = planned.lowered.table
    reasons = {device: why_not(table, device) for device in table.devices}
    return {device: reason for device, reason in reasons.items() if reason}
