"""A drill on a deployed allocation, from its file: gateway, fleet, load and capacity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.keys import gateway_keys
from edgesplit.operate.drill import Drill, Progress, Verdict, check, control, fail_node
from edgesplit.operate.gateway import Gateway, join
from edgesplit.operate.load import Outcome, Pattern, Workload, run
from edgesplit.operate.trial import open_trial

_PROBE = 60
_LOAD = 0.5


def drill_deployment(
    path: Path,
    drill: Drill,
    *,
    rate: float | None,
    seed: int,
    force: bool,
    beside: bool,
    on_progress: Callable[[Progress], None],
) -> tuple[Verdict, Verdict | None]:
    """Run a drill on a deployment, and with `beside` once more with nothing harmed, first.

    `rate` is requests a second; by default half of what the deployment was just measured to take.

    Raises:
        UsageError: The allocation has no such device.
        DrillRefused: The allocation doesn't survive the fault, and `force` is off.
    """
    trial = open_trial(path)
    check(trial.record.table, drill, force=force)
    work = trial.random_work(seed)
    with (
        join(trial.record, gateway_keys().secret) as gateway,
        open_fleet(trial.allocation.cluster, trial.record) as fleet,
    ):
        pattern = Pattern(
            rate=rate or _LOAD * capacity(gateway, work), deadline=gateway.record.deadline
        )
        quiet = None
        if beside:
            quiet = fail_node(
                gateway, fleet, control(drill), work, pattern, on_progress=on_progress
            )
        verdict = fail_node(
            gateway, fleet, drill, work, pattern, force=force, on_progress=on_progress
        )
    return verdict, quiet


def capacity(gateway: Gateway, work: Workload) -> float:
    """Return the requests a second that a deployment answers with its window full."""
    window = gateway.table.window
    pattern = Pattern(in_flight=window, warm_up=window, deadline=gateway.record.deadline)
    samples = run(gateway, work, pattern, requests=_PROBE)
    answered = [sample for sample in samples if sample.outcome is not Outcome.LOST]
    seconds = max(s.done for s in samples) - min(s.sent for s in samples)
    return max(1, len(answered)) / seconds
