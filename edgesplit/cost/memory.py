"""Predicted memory of an executor: what is its own, and what it maps from files.

Measured on executors with ONNX Runtime 1.31, external weights, one thread, the arena on and
`session.disable_prepacking`: weights of Gemm and MatMul stay in the mapped file, those of
convolutions are reordered into memory of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.cost.work import Work
from edgesplit.dataflow.table import TaskTable

MIB = 1 << 20

BASE = 28 * MIB
"""An executor without a session: the interpreter with numpy, ONNX Runtime and pyzmq."""

SESSION = 1.5 * MIB
"""An ONNX Runtime session without weights."""

ARENAS = 2
"""The arena holds the chunks of the first run beside the block planned for all later ones."""

LOADING = 3
"""Copies of a layer's weights beside the final one while they are being reordered."""

PASSING = 1
"""Requests whose inputs and outputs a device holds beside the session's activations when nothing
piles up."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of an executor.

    `anonymous` is its own memory at the peak of ordinary work, `mapped` the weights that it reads
    in place, `reserved` what it needs beside them while it loads, or when every window is full.
    """

    anonymous: int
    mapped: int
    reserved: int = 0

    @property
    def total(self) -> int:
        """What must fit the device's budget: mapped pages are needed to run fast."""
        return self.anonymous + self.mapped + self.reserved


def footprint(work: Work, request_bytes: float, window: int, sessions: int = 1) -> Footprint:
    """Return the memory of an executor whose sessions run one at a time, in one arena.

    Args:
        work: What the sessions do.
        request_bytes: Inputs and retained outputs of one request.
        window: Open requests per gateway; memory is reserved for as many gateways as the task
            table says.
        sessions: How many there are.
    """
    idle = BASE + sessions * SESSION + work.copied
    busy = idle + ARENAS * work.live
    ordinary = busy + PASSING * request_bytes
    full = busy + window * TaskTable.gateways * request_bytes
    worst = max(ordinary, full, idle + LOADING * work.largest)
    return Footprint(round(ordinary), round(work.mapped), round(worst - ordinary))
