"""What a task table costs: seconds of tasks and messages, and what one request asks of a device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field

from edgesplit.dataflow.table import Flow, TaskTable
from edgesplit.spec.cluster import Link

# Seconds of a request that costs nothing: only the shares of variants follow from it.
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Costs:
    """What things cost: `tasks` in seconds by task id, `messages` seconds an end by device.

    `per_byte` are the seconds that an end takes in addition for each byte of a message, where
    they count. `links` and `messages` hold the gateway too, under its device name.
    """

    tasks: Mapping[int, float]
    messages: Mapping[str, float]
    links: Mapping[str, Link]
    per_byte: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request costs a device, in seconds: its compute, message ends, and link.

    Where variants share the requests, it is the mean over them.
    """

    compute: float = 0.0
    messages: float = 0.0
    sending: float = 0.0
    receiving: float = 0.0

    @property
    def busiest(self) -> float:
        """Seconds of the resource that limits how many requests a second can pass."""
        return max(self.compute, self.messages, self.sending, self.receiving)

    def times(self, factor: float) -> Usage:
        """Return this usage of so many requests; times requests a second, shares of the time."""
        parts = (self.compute, self.messages, self.sending, self.receiving)
        return Usage(*(part * factor for part in parts))

    def beside(self, other: Usage) -> Usage:
        """Return what both cost."""
        return Usage(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def usages(table: TaskTable, costs: Costs) -> Mapping[str, Usage]:
    """Return what one request costs each device, the gateway included.

    Each variant takes requests in proportion to what it could do alone, as it does where the next
    one goes to where the fewest are open.
    """
    each = [_usages(table, costs, variant) for variant in range(table.variants)]
    if len(each) == 1:
        return each[0]
    rates = [1 / max(_LEAST, *(use.busiest for use in usage.values())) for usage in each]
    shared: defaultdict[str, Usage] = defaultdict(Usage)
    for rate, usage in zip(rates, each, strict=True):
        for name, use in usage.items():
            shared[name] = shared[name].beside(use.times(rate / sum(rates)))
    return shared


def _usages(table: TaskTable, costs: Costs, variant: int) -> dict[str, Usage]:
    """Return what one request of a variant costs each of its devices."""
    compute: defaultdict[str, float] = defaultdict(float)
    ends: defaultdict[str, int] = defaultdict(int)
    sent: defaultdict[str, int] = defaultdict(int)
    received: defaultdict[str, int] = defaultdict(int)
    for task in table.tasks:
        if task.variant == variant:
            compute[task.device] += costs.tasks.get(task.id, 0.0)
    for flow in table.flows:
        if flow.variant != variant:
            continue
        nbytes = flow.nbytes
        for sender, receiver in _ways(flow):
            sent[sender] += nbytes
            received[receiver] += nbytes
            ends[sender] += 1
            ends[receiver] += 1
    return {
        name: Usage(
            compute=compute[name],
            messages=costs.messages[name] * ends[name]
            + costs.per_byte.get(name, 0.0) * (sent[name] + received[name]),
            sending=sent[name] / costs.links[name].bandwidth,
            receiving=received[name] / costs.links[name].bandwidth,
        )
        for name in compute
    }


def _ways(flow: Flow) -> list[tuple[str, str]]:
    return [(one, other) for one in flow.senders for other in flow.receivers if one != other]
