"""Load: many requests through the simulator, a window of them at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesplit.cost.costs import Costs, Usage, usages
from edgesplit.cost.passing import Device, Passing
from edgesplit.dataflow.table import TaskTable

WINDOWS = 4
"""How many windows of requests a load passes, by default; the first fills the pipeline."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """A device under load: the shares of the time that its resources are taken, 0 to 1.

    `queue` is the mean number of formed tasks that wait for it to compute, `queue_max` the most.
    """

    busy: Usage
    queue: float
    queue_max: int

    @property
    def idle(self) -> float:
        """The share of the time in which it computes nothing."""
        return max(0.0, 1 - self.busy.compute)


@dataclass(frozen=True, slots=True)
class Load:
    """A simulated load: answers a second, the mean seconds from admission to answer, and devices.

    Both figures leave out the first window of answers, in which the pipeline fills.
    """

    throughput: float
    latency: float
    devices: Mapping[str, Occupancy]


def load(table: TaskTable, costs: Costs, window: int, requests: int | None = None) -> Load:
    """Pass requests through the table, `window` of them open at a time, and measure.

    It costs about as many times a single request as it passes: four windows by default. At most
    it shows what the busiest resource allows; a coded device that answers don't wait for would
    else count as never needed.

    Raises:
        ValueError: The answer never forms, or there are no more requests than fit the window.
    """
    number = WINDOWS * window if requests is None else requests
    if not 1 <= window < number:
        raise ValueError(f"{number} requests, {window} at a time, are no steady load")
    passing = Passing(table, costs, number, window)
    answers = passing.answer()
    times = [request.answered or 0.0 for request in answers]
    usage = usages(table, costs)
    elapsed = max(times[-1] - times[window - 1], _busiest(usage) * (number - window))
    throughput = (number - window) / elapsed if elapsed else float("inf")
    counted = answers[window:]
    waits = sum((request.answered or 0.0) - request.admitted for request in counted)
    devices = {
        name: _occupancy(device, usage[name], throughput, times[-1])
        for name, device in passing.devices.items()
    }
    return Load(throughput, waits / len(counted), devices)


def _busiest(usage: Mapping[str, Usage]) -> float:
    return max((use.busiest for use in usage.values()), default=0.0)


def _occupancy(device: Device, usage: Usage, throughput: float, seconds: float) -> Occupancy:
    shares = usage.times(throughput) if seconds else Usage()
    return Occupancy(shares, device.waited / seconds if seconds else 0.0, device.most)
