"""Who takes part in a change besides the devices: who looks, who is told, who keeps the record.

The deployer itself opens no requests: whether a release answers is for a witness to see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.record import Record
from edgesplit.deploy.steps import Progress


class Witness(Protocol):
    """What must be seen of a deployment before the next step."""

    def ready(self, record: Record, check: Callable[[], None]) -> None:
        """Return once every executor of a record is ready; ask `check` now and then.

        `check` raises where an executor has ended.

        Raises:
            EdgesplitError: One didn't become ready in time.
        """

    def trial(self, record: Record, check: Callable[[], None]) -> None:
        """Return once one request with a known answer has gone through; `check` as for `ready`.

        Raises:
            EdgesplitError: It was not answered, or answered wrongly.
        """

    def drained(self, record: Record) -> frozenset[str]:
        """Wait until no gateway has requests open on a record; return the devices still busy."""


@dataclass(frozen=True)
class Conduct:
    """Who takes part in a change.

    Args:
        witness: Sees through gateways whether it may go on.
        progress: Told of every step.
        keep: Keeps the deployment record; called once every device has flipped, and again when
            leaving devices were told.
        ask: Decides on unknown host keys of devices that leave.
    """

    witness: Witness
    progress: Progress
    keep: Callable[[Record], None]
    ask: Ask | None = None
