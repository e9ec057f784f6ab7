"""Drills: an injected fault under load, its undoing, and a verdict."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import median
from typing import Protocol

from edgesplit.dataflow.table import TaskTable
from edgesplit.errors import DrillRefused, UsageError
from edgesplit.operate.figures import Latency, latency
from edgesplit.operate.load import Counts, Pattern, Sample, Target, Workload, run, tally
from edgesplit.plan.coverage import survives, why_not


class Fleet(Protocol):
    """Who can harm and mend the executors of a deployment."""

    def kill(self, device: str) -> object:
        """SIGKILL the executor, and keep its supervisor from restarting it."""
        ...

    def pause(self, device: str) -> object:
        """SIGSTOP the executor: the kernel still takes its bytes."""
        ...

    def restore(self, device: str) -> object:
        """Start the executor again, or let it go on."""
        ...


class Patient(Target, Protocol):
    """The gateway that a drill runs on."""

    @property
    def table(self) -> TaskTable:
        """The dataflow that is deployed."""
        ...

    def unready(self, devices: frozenset[str], since: float) -> frozenset[str]:
        """Return the devices that have not said ready since a moment of the monotonic clock."""
        ...


class Fault(StrEnum):
    """What is done to the device; `NONE` is the control."""

    KILL = "kill"
    PAUSE = "pause"
    NONE = "none"


class Phase(StrEnum):
    """The parts of a drill, in order."""

    SETTLING = "settling"
    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Drill:
    """How a drill goes: requests to count in each phase, and how long to wait for the mended.

    The load settles until the medians of its last two blocks of `block` requests differ by less
    than `spread`, or `settle` blocks have passed.
    """

    device: str
    fault: Fault = Fault.KILL
    requests: int = 100
    block: int = 20
    settle: int = 10
    spread: float = 0.1
    ready_within: float = 60.0

    def __post_init__(self) -> None:
        if self.requests < 1 or self.block < 1:
            raise UsageError(f"a drill of {min(self.requests, self.block)} requests shows nothing")


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """What became of the requests that were due in a phase."""

    phase: Phase
    counts: Counts
    latency: Latency


@dataclass(frozen=True)
class Verdict:
    """The outcome of a drill; `samples` are all of its requests with the phase they were due in.

    `restored` tells whether the device was ready again in time.
    """

    drill: Drill
    phases: tuple[PhaseResult, ...]
    total: Counts
    restored: bool
    samples: tuple[tuple[Phase, Sample], ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, wrong or answered twice, in any phase."""
        return self.total.clean

    def phase(self, phase: Phase) -> PhaseResult:
        """Return the result of one phase."""
        return {result.phase: result for result in self.phases}[phase]

    @property
    def p99_ratio(self) -> float:
        """The p99 during the fault over the p99 before it."""
        return self.phase(Phase.DURING).latency.p99 / self.phase(Phase.BEFORE).latency.p99


@dataclass(frozen=True, slots=True)
class Progress:
    """What a live view shows: the phase, what was done last, and the sample that just came in."""

    phase: Phase
    event: str
    sample: Sample | None


def fail_node(
    gateway: Patient,
    fleet: Fleet,
    drill: Drill,
    work: Workload,
    pattern: Pattern,
    *,
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Verdict:
    """Harm a device under load, mend it, and tell what became of the requests.

    The load never pauses: each phase goes on until enough of the requests that were due in it
    have ended. The device is mended even where the drill is interrupted.

    Raises:
        UsageError: The allocation has no such device.
        DrillRefused: The allocation doesn't survive the fault, and `force` is off.
    """
    check(gateway.table, drill, force=force)
    course = _Course(drill, fleet, gateway, on_progress or (lambda _: None))
    with ThreadPoolExecutor(1, thread_name_prefix="drill") as pool:
        load = pool.submit(
            run,
            gateway,
            work,
            pattern,
            until=course.over.is_set,
            on_sample=course.arrived.put,
            origin=course.origin,
        )
        return course.follow(load)


def check(table: TaskTable, drill: Drill, *, force: bool = False) -> None:
    """Tell beforehand whether a drill makes sense.

    Raises:
        UsageError: The allocation has no such device.
        DrillRefused: The allocation doesn't survive the fault, and `force` is off.
    """
    if drill.device not in table.devices:
        raise UsageError(
            f"the allocation has no device {drill.device!r}",
            remedy=f"name one of {', '.join(table.devices)}",
        )
    if force or drill.fault is Fault.NONE or survives(table, frozenset({drill.device})):
        return
    raise DrillRefused(
        f"the allocation doesn't survive the loss of {drill.device}: "
        f"{why_not(table, drill.device)}",
        remedy="drill another device, plan with parity, or force it and lose requests",
    )


@dataclass
class _Course:
    """The course of one drill, in the caller's thread; the load runs in another."""

    drill: Drill
    fleet: Fleet
    gateway: Patient
    on_progress: Callable[[Progress], None]
    origin: float = field(default_factory=time.monotonic)
    over: threading.Event = field(default_factory=threading.Event)
    arrived: queue.SimpleQueue[Sample] = field(default_factory=queue.SimpleQueue)
    starts: dict[Phase, float] = field(default_factory=lambda: {Phase.SETTLING: 0.0})
    seen: list[Sample] = field(default_factory=list)
    due_now: int = 0
    harmed: bool = False
    restored: bool = True

    def follow(self, load: Future[tuple[Sample, ...]]) -> Verdict:
        """Lead the load through all phases; whatever happens, mend and stop."""
        try:
            self.on_progress(Progress(Phase.SETTLING, "load begins", None))
            self._until(load, self._steady)
            self._enter(Phase.BEFORE, "steady")
            self._until(load, self._enough)
            self._harm()
            self._until(load, self._enough)
            self._mend(load)
            self._until(load, self._enough)
        finally:
            self.over.set()
            if self.harmed:
                self.fleet.restore(self.drill.device)
        return self._verdict(load.result())

    def _enter(self, phase: Phase, event: str) -> None:
        self.starts[phase] = time.monotonic() - self.origin
        self.due_now = 0
        self.on_progress(Progress(phase, event, None))

    def _until(self, load: Future[tuple[Sample, ...]], enough: Callable[[], bool]) -> None:
        """Take samples until there are enough; a load that failed raises what it failed with."""
        while not enough():
            try:
                sample = self.arrived.get(timeout=0.1)
            except queue.Empty:
                if load.done():
                    load.result()
                continue
            self.seen.append(sample)
            self.due_now += sample.intended >= max(self.starts.values())
            self.on_progress(Progress(self._phase(sample), "", sample))

    def _steady(self) -> bool:
        block = self.drill.block
        if len(self.seen) >= self.drill.settle * block:
            return True
        if len(self.seen) < 2 * block:
            return False
        older = median(sample.latency for sample in self.seen[-2 * block : -block])
        newer = median(sample.latency for sample in self.seen[-block:])
        return abs(newer - older) < self.drill.spread * older

    def _enough(self) -> bool:
        return self.due_now >= self.drill.requests

    def _harm(self) -> None:
        device, fault = self.drill.device, self.drill.fault
        self._enter(Phase.DURING, f"{fault.value} {device}")
        if fault is not Fault.NONE:
            self.harmed = True
            (self.fleet.kill if fault is Fault.KILL else self.fleet.pause)(device)

    def _mend(self, load: Future[tuple[Sample, ...]]) -> None:
        device = self.drill.device
        if self.harmed:
            self.fleet.restore(device)
            self.harmed = False
            began = time.monotonic()
            self._until(load, lambda: self._back(began) or self._overdue(began))
            self.restored = self._back(began)
        self._enter(Phase.AFTER, f"{device} is ready" if self.restored else f"{device} is absent")

    def _back(self, since: float) -> bool:
        return not self.gateway.unready(frozenset({self.drill.device}), since)

    def _overdue(self, since: float) -> bool:
        return time.monotonic() - since > self.drill.ready_within

    def _phase(self, sample: Sample) -> Phase:
        """The phase that a request was due in; one that the fault met on its way counts there."""
        harm, mend = (self.starts.get(p, math.inf) for p in (Phase.DURING, Phase.AFTER))
        if sample.done >= harm and sample.intended < mend:
            return Phase.DURING
        return [p for p, start in self.starts.items() if start <= sample.intended][-1]

    def _verdict(self, samples: tuple[Sample, ...]) -> Verdict:
        phased = tuple((self._phase(sample), sample) for sample in samples)
        results = tuple(
            PhaseResult(phase, tally(kept), latency(kept))
            for phase in Phase
            for kept in [[sample for own, sample in phased if own is phase]]
        )
        return Verdict(self.drill, results, tally(samples), self.restored, phased)


def control(drill: Drill) -> Drill:
    """Return the same drill with nothing harmed, to show beside it."""
    return replace(drill, fault=Fault.NONE)
