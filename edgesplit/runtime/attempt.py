"""One try at one request on one device: what has arrived, what has formed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edgesplit.dataflow.assembly import Array, Assembly
from edgesplit.dataflow.table import Task

# Traces kept for a gateway between two beats.
_TRACES = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """An array for a flow of the task table; `recovered` groups were decoded on its way here."""

    flow: int
    array: Array
    recovered: int


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at a request: its assemblies, and the work that has formed from them.

    `opened` and `deadline` are seconds of the local clock. `announced` says that the gateway
    itself has spoken of it, not only a device. Once `over`, nothing of it is computed or sent.
    """

    nonce: int
    request: int
    number: int
    variant: int
    opened: float
    deadline: float
    announced: bool = False
    over: bool = False
    assemblies: dict[int, Assembly] = field(default_factory=dict)
    works: dict[int, Work] = field(default_factory=dict)

    def end(self) -> None:
        """Let go of everything; the compute thread may still hold one of the works."""
        self.over = True
        self.assemblies = {}
        for work in self.works.values():
            work.feeds = None


@dataclass(slots=True, eq=False)
class Work:
    """A task whose inputs have formed.

    `feeds` is None once it is being computed or its attempt is over. `last_flow` completed it at
    `formed` (seconds of the local clock).
    """

    task: Task
    attempt: Attempt
    feeds: dict[str, Array] | None
    recovered: int
    last_flow: int
    formed: float


@dataclass(slots=True, eq=False)
class Gateway:
    """A registered gateway process: who it is, its lowest open request, what it has open."""

    user: str
    lowest: int
    seen: float
    requests: dict[int, dict[int, Attempt]] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    traces: deque[list[float]] = field(default_factory=lambda: deque(maxlen=_TRACES))

    def advance(self, lowest: int) -> None:
        """Drop every request older than `lowest`."""
        if lowest > self.lowest:
            self.lowest = lowest
            for request in [old for old in self.requests if old < lowest]:
                self.drop(request)
            self.closed = {request for request in self.closed if request >= lowest}

    def drop(self, request: int) -> None:
        """End all attempts of one request."""
        for attempt in self.requests.pop(request, {}).values():
            attempt.end()
