"""Predicted memory of an executor: what is its own, and what it maps from files.

Measured with ONNX Runtime 1.31 on sessions with external weights, one thread, the arena on and
`session.disable_prepacking`: weights of Gemm and MatMul stay in the mapped file, those of
convolutions are reordered into memory of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.cost.work import Work
from edgesplit.dataflow.table import TaskTable

MIB = 1 << 20

BASE = 26 * MIB
"""The interpreter with numpy, ONNX Runtime and pyzmq (21 MiB), sockets and the program."""

SESSION = 1.5 * MIB
"""An ONNX Runtime session without weights."""

COPIES = 2.1
"""A reordered weight, and the heap that held it while it was reordered, which stays."""

ARENAS = 2
"""The arena holds the chunks of the first run beside the block planned for all later ones."""

LIBRARIES = 36 * MIB
"""Shared libraries and other files that are mapped beside the weights; not part of the budget."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of an executor: `anonymous` at its peak, and of the `mapped` weights it reads."""

    anonymous: int
    mapped: int

    @property
    def total(self) -> int:
        """What must fit the device's budget: mapped pages are needed to run fast."""
        return self.anonymous + self.mapped

    def beside(self, other: Footprint) -> Footprint:
        """Return the memory of one executor that runs both."""
        return Footprint(self.anonymous + other.anonymous - BASE, self.mapped + other.mapped)


def reserved(request_bytes: float, window: int) -> float:
    """Return the bytes kept for open requests: a task's inputs and retained outputs for each."""
    return request_bytes * window * TaskTable.gateways


def footprint(work: Work, request_bytes: float, window: int) -> Footprint:
    """Return the memory of an executor with one session.

    Args:
        work: What the session does.
        request_bytes: Inputs and outputs of one request.
        window: Open requests per gateway.
    """
    own = BASE + SESSION + COPIES * work.copied + ARENAS * work.live
    return Footprint(round(own + reserved(request_bytes, window)), round(work.mapped))
