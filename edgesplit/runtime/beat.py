"""The beat: what an executor says of itself, four times a second."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgesplit.runtime.attempt import Gateway
from edgesplit.runtime.board import Reading
from edgesplit.runtime.compute import Compute

INTERVAL = 0.25
"""Seconds between two beats."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Memory:
    """Resident memory of this process in bytes: all, anonymous, mapped files, and the peak."""

    def __init__(self) -> None:
        self.anon_peak = 0
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def sample(self) -> dict[str, int]:
        """Read it now; `anon_peak` is the most anonymous memory that any sample saw."""
        _, resident, shared, *_ = os.pread(self._statm, 256, 0).split()
        rss, mapped = int(resident) * _PAGE, int(shared) * _PAGE
        self.anon_peak = max(self.anon_peak, rss - mapped)
        return {"rss": rss, "anon": rss - mapped, "anon_peak": self.anon_peak, "mapped": mapped}

    def close(self) -> None:
        """Close the file that is read."""
        os.close(self._statm)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the I/O thread knows of itself; see `body`."""

    device: str
    epoch: int
    ready: bool
    connected: Collection[str]
    uptime: float
    open: int
    frames: int
    dropped: Mapping[str, int]
    expired: int
    waiting: int
    gateways: int
    successor: int | None
    board: Reading


def body(vitals: Vitals, compute: Compute, memory: Memory, gateway: Gateway, now: float) -> bytes:
    """Return the JSON body of a beat to this gateway, and take its traces out of their buffer.

    Seconds and bytes. `open` counts requests, `queue` work that waits, `waiting` frames that
    can't leave yet, `busy` compute time with its pacing. `gateways` counts those that may still
    need this epoch, `successor` is the epoch that is current instead of it. A trace is [request,
    attempt, task, last flow, formed, start, end, paced, sent] in seconds of the device's own
    clock.
    """
    tally, running = compute.tally, compute.running(now)
    traces = [gateway.traces.popleft() for _ in range(len(gateway.traces))]
    told = {
        "device": vitals.device,
        "epoch": vitals.epoch,
        "ready": vitals.ready,
        "connected": sorted(vitals.connected),
        "uptime": round(vitals.uptime, 3),
        "open": vitals.open,
        "frames": vitals.frames,
        "dropped": vitals.dropped,
        "expired": vitals.expired,
        "waiting": vitals.waiting,
        "gateways": vitals.gateways,
        "successor": vitals.successor,
        "board": vitals.board,
        "queue": compute.queue,
        "queue_max": tally.queue_max,
        "running": {"task": running[0], "age": round(running[1], 6)} if running else None,
        "computed": tally.computed,
        "failed": tally.failed,
        "discarded": tally.discarded,
        "busy": round(tally.busy, 6),
        "slip": {
            "max": round(tally.slip_max, 6),
            "mean": round(tally.slip_sum / max(1, tally.slips), 6),
            "count": tally.slips,
        },
        "traces": traces,
        **memory.sample(),
    }
    return json.dumps(told, separators=(",", ":")).encode()
