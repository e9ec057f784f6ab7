"""The simulator: requests through a task table, on given costs and links, without loss.

A task starts when its inputs have formed and its device is free: the oldest request's first, and
of those the first in the table, as executors choose. A message costs its price at both ends, leaves
when the sender's link is free, and has arrived when its last byte is through the receiver's link.
Of a coded group the first k rows are enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesplit.cost.costs import Costs, Usage, usages
from edgesplit.cost.passing import Passing
from edgesplit.dataflow.table import TaskTable

__all__ = ["Costs", "Run", "Usage", "simulate", "usages"]


@dataclass(frozen=True, slots=True)
class Run:
    """A simulated request: `latency` in seconds, `throughput` in requests a second.

    Throughput is a bound that needs no second simulation, since a search judges hundreds: what the
    busiest resource lets pass, and no more than a window of requests in each latency. What is
    reached below it, `cost.load` finds; with two or more requests open that is seldom much less.
    Of several variants the latency is the mean.
    """

    latency: float
    throughput: float
    usage: Mapping[str, Usage]


def simulate(table: TaskTable, costs: Costs) -> Run:
    """Run one request through each variant of the table, one after the other.

    Raises:
        ValueError: The answer never forms: the table is no complete dataflow.
    """
    usage = usages(table, costs)
    requests = Passing(table, costs, requests=table.variants).answer()
    latency = sum(request.latency for request in requests) / len(requests)
    slowest = max(latency / table.window, *(use.busiest for use in usage.values()))
    return Run(latency, 1 / slowest if slowest else float("inf"), usage)
