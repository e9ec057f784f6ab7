"""Control of a deployed cluster's executors, for drills and for looking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.record import Record
from edgesplit.deploy.standing import Standing
from edgesplit.deploy.station import Station
from edgesplit.errors import DeployError, EdgesplitError
from edgesplit.spec.cluster import Cluster


@dataclass(frozen=True, slots=True)
class ExecutorState:
    """What a device says of its executor.

    `release` is the current one, as in the record's `programs`, and the rest is said of its slot;
    `held` means that it stays dead until it is restored; `last_exit` is an exit code, negative for
    a signal.
    """

    device: str
    running: bool
    status: str
    held: bool
    release: str | None
    pid: int | None
    restarts: int
    last_exit: int | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """The executors of one deployment. Every method raises HostError when a device fails it."""

    crew: Crew
    record: Record

    def kill(self, device: str) -> int:
        """Kill an executor (SIGKILL) and keep it dead until `restore`; return its pid."""
        return int(self._call(device, "kill", "held")["pid"])

    def pause(self, device: str) -> int:
        """Freeze an executor (SIGSTOP): its kernel still takes bytes; return its pid."""
        return int(self._call(device, "pause")["pid"])

    def restore(self, device: str) -> ExecutorState:
        """Undo `kill` and `pause`: continue what is frozen, start what is dead."""
        before = self.state(device)
        if before.running:
            self._call(device, "resume")
        self._call(device, "start", before.release or self.record.programs[device])
        return self.state(device)

    def state(self, device: str) -> ExecutorState:
        """Return what a device says of its executor."""
        return _state(device, self._call(device, "state"))

    def states(self) -> tuple[dict[str, ExecutorState], dict[str, EdgesplitError]]:
        """Ask all devices at once; return the states, and the failures of those that failed."""
        states, failures = self.crew.attempt(lambda s: _state(s.device.name, _obey(s, "state")))
        return states, failures

    def check(self) -> None:
        """Raise DeployError, naming the device, where an executor ended, for good or to restart."""
        states, _ = self.states()
        for name, state in states.items():
            if not state.running or state.restarts:
                raise DeployError(f"it ended with {state.last_exit}", where=name)

    def log(self, device: str, lines: int = 100) -> list[str]:
        """Return the last lines that a device's executor and supervisor wrote."""
        answer: list[str] = self._call(device, "log", str(lines))["lines"]
        return answer

    def _call(self, device: str, verb: str, *options: str) -> dict[str, Any]:
        return _obey(self.crew.stations[device], verb, *options)


@contextmanager
def open_fleet(cluster: Cluster, record: Record, ask: Ask | None = None) -> Iterator[Fleet]:
    """Yield the fleet of a deployment; devices are reached when they are asked something."""
    devices = [cluster.device(name) for name in record.programs]
    with open_crew(devices, cluster.name, ask) as crew:
        yield Fleet(crew, record)


def _obey(station: Station, verb: str, *options: str) -> dict[str, Any]:
    station.bootstrap()
    return station.call(verb, *options)


def _state(device: str, answer: dict[str, Any]) -> ExecutorState:
    standing = Standing.of(answer)
    slot = standing.own
    return ExecutorState(
        device=device,
        running=slot.running,
        status=slot.status,
        held=slot.held,
        release=standing.current,
        pid=slot.executor["pid"] if slot.executor else None,
        restarts=slot.restarts,
        last_exit=slot.last_exit,
    )
