"""What a new allocation means for the one that is deployed under its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgesplit.deploy.record import known_record, record_path
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.overlap import Excess, excesses, needed_memory


@dataclass(frozen=True, slots=True)
class Succession:
    """How a deployment follows the one of this epoch.

    `excesses` are the devices that can't hold both: where there is one, the old has to drain, and
    requests wait, before the new one starts. Where both map the very same shards, which only
    `deploy` knows, they may fit all the same.
    """

    epoch: int
    excesses: tuple[Excess, ...]

    @property
    def mode(self) -> str:
        """`roll` where both can run at once, else `drain`."""
        return "drain" if self.excesses else "roll"


def succession(allocation: Allocation, path: Path) -> Succession | None:
    """Return how an allocation would follow the one deployed from this file.

    None where none is, or its record can't be read: a plan needs it not, and `deploy` will tell.
    """
    record = known_record(record_path(path))
    if record is None:
        return None
    needed = needed_memory(allocation.prediction)
    return Succession(record.epoch, excesses(record.memory, needed, allocation.cluster))
