"""Ways: which devices a request of a variant goes to."""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.dataflow.table import Output, TaskTable


@dataclass(frozen=True, slots=True)
class Way:
    """Where the requests of a variant go.

    `feeds` are the contributions that the gateway makes, `fed` the devices that get any of them,
    `unfed` the variant's other devices, which wait for each other's.
    """

    feeds: tuple[Output, ...]
    fed: tuple[str, ...]
    unfed: tuple[str, ...]

    @property
    def devices(self) -> tuple[str, ...]:
        """All devices of the variant."""
        return self.fed + self.unfed


def ways(table: TaskTable) -> tuple[Way, ...]:
    """Return the way of each variant."""
    return tuple(_way(table, variant) for variant in range(table.variants))


def _way(table: TaskTable, variant: int) -> Way:
    feeds = table.sources[variant].outputs
    fed = {name for output in feeds for name in table.flows[output.flow].receivers}
    tasks = {task.device for task in table.tasks if task.variant == variant}
    devices = [name for name in table.devices if name in tasks]
    return Way(
        feeds=feeds,
        fed=tuple(name for name in devices if name in fed),
        unfed=tuple(name for name in devices if name not in fed),
    )
