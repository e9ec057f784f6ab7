"""What an allocation is expected to do, moment by moment."""

from __future__ import annotations

from edgesplit.cost.timeline import Timeline, timeline
from edgesplit.plan.planner import Planned
from edgesplit.plan.predict import costs, works_of


def predicted_timeline(planned: Planned) -> Timeline:
    """Return the simulated timeline of what the model's objective is about.

    For latency one request alone; for throughput two windows of requests, a window at a time.
    """
    allocation, lowered = planned.allocation, planned.lowered
    window = allocation.model.window if allocation.model.objective == "throughput" else 1
    requests = 2 * window if window > 1 else 1
    works = works_of(planned.graph, lowered)
    priced = costs(allocation, lowered, works, planned.measured)
    return timeline(lowered.table, priced, requests, window)
