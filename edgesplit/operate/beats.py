"""Beats: what devices tell of themselves, and what is known of them from it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from edgesplit.operate.critical import Trace

T = TypeVar("T")

SILENCE = 1.0
"""Seconds without a beat after which a device counts as silent: four beats."""


@dataclass(frozen=True, slots=True)
class Slip:
    """How far paced tasks ended past their targets: seconds in all, the worst, and of how many."""

    total: float
    max: float
    count: int


@dataclass(frozen=True, slots=True)
class Board:
    """The board's temperature and its throttling bits; None where it doesn't tell."""

    celsius: float | None = None
    throttled: int | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat of a device, as of `at` on our clock; its counters run since its executor began.

    `ready` says that its sessions are warm and its peers handshaken. `open` are requests it knows
    of, `queue` formed tasks that wait for the compute thread, `running` the name and the age in
    seconds of the one it works on. `busy` are seconds of computing, `uptime` seconds of life,
    `rss` and `anon_peak` bytes. `dropped` are frames by reason, `failed` tasks that raised.
    `gateways` counts those that may still need this epoch; `successor` is the epoch that is
    current on the device instead of it.
    """

    device: str
    epoch: int
    at: float
    ready: bool
    open: int
    queue: int
    running: tuple[str, float] | None
    busy: float
    uptime: float
    rss: int
    anon_peak: int
    computed: int
    failed: int
    dropped: Mapping[str, int]
    slip: Slip
    traces: tuple[Trace, ...] = ()
    gateways: int = 0
    successor: int | None = None
    board: Board = Board()


def parse_beat(device: str, epoch: int, body: bytes, at: float) -> Beat | None:
    """Read the body of a BEAT; None where it is not one."""
    try:
        return _beat(device, epoch, json.loads(body), at)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _beat(device: str, epoch: int, data: dict[str, Any], at: float) -> Beat:
    running, slip, board = data["running"], data["slip"], data["board"]
    return Beat(
        device=device,
        epoch=epoch,
        at=at,
        ready=bool(data["ready"]),
        open=int(data["open"]),
        queue=int(data["queue"]),
        running=(str(running["task"]), float(running["age"])) if running else None,
        busy=float(data["busy"]),
        uptime=float(data["uptime"]),
        rss=int(data["rss"]),
        anon_peak=int(data["anon_peak"]),
        computed=int(data["computed"]),
        failed=int(data["failed"]),
        dropped={str(name): int(number) for name, number in data["dropped"].items()},
        slip=Slip(slip["mean"] * slip["count"], float(slip["max"]), int(slip["count"])),
        traces=tuple(Trace(device, *fields) for fields in data["traces"]),
        gateways=int(data["gateways"]),
        successor=_maybe(int, data["successor"]),
        board=Board(_maybe(float, board["celsius"]), _maybe(int, board["throttled"])),
    )


def _maybe(kind: Callable[[Any], T], value: object) -> T | None:
    return None if value is None else kind(value)


class State(StrEnum):
    """What is known of a device."""

    READY = "ready"
    STARTING = "starting"
    OTHER_EPOCH = "other epoch"
    SILENT = "silent"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(slots=True)
class _Contact:
    connected: bool = False
    refused: bool = False
    beat: Beat | None = None


class Roster:
    """The devices of one deployment, as their connections and beats show them."""

    def __init__(self, devices: Iterable[str], epoch: int) -> None:
        self._epoch = epoch
        self._contacts = {device: _Contact() for device in devices}

    def shaken(self, device: str) -> None:
        """A connection came up: what was known is of a process that may be gone."""
        self._contacts[device] = _Contact(connected=True)

    def parted(self, device: str) -> None:
        """A connection is gone."""
        self._contacts[device].connected = False

    def refused(self, device: str) -> None:
        """A device refused our key."""
        self._contacts[device].refused = True

    def heard(self, beat: Beat) -> None:
        """A device told of itself."""
        self._contacts[beat.device].beat = beat

    def beats(self) -> dict[str, Beat]:
        """Return the latest beat of every device that has sent one."""
        return {name: c.beat for name, c in self._contacts.items() if c.beat is not None}

    def states(self, now: float) -> dict[str, State]:
        """Return the state of every device at `now`."""
        return {name: self._state(contact, now) for name, contact in self._contacts.items()}

    def silent(self, now: float) -> tuple[str, ...]:
        """Return the devices that are gone or have not told of themselves for too long."""
        told = {State.READY, State.STARTING, State.OTHER_EPOCH}
        return tuple(name for name, state in self.states(now).items() if state not in told)

    def unable(self, now: float) -> frozenset[str]:
        """Return the devices that can't be relied on for a new request: not ready."""
        return frozenset(name for name, s in self.states(now).items() if s is not State.READY)

    def superseded(self, now: float) -> frozenset[str]:
        """Return the devices that say, as of now, that another epoch is current there."""
        beats = self.beats()
        return frozenset(name for name in self._heard(now) if beats[name].successor is not None)

    def away(self, now: float) -> bool:
        """Tell whether no device at all tells of itself in our epoch."""
        return not self._heard(now)

    def ready_since(self, moment: float) -> frozenset[str]:
        """Return the devices that said ready, in our epoch, after a moment."""
        return frozenset(
            name
            for name, contact in self._contacts.items()
            if contact.connected
            and contact.beat is not None
            and contact.beat.at > moment
            and contact.beat.ready
            and contact.beat.epoch == self._epoch
        )

    def told_since(self, moment: float) -> frozenset[str]:
        """Return the devices whose latest beat arrived after a moment."""
        return frozenset(name for name, beat in self.beats().items() if beat.at > moment)

    def _heard(self, now: float) -> list[str]:
        heard = (State.READY, State.STARTING)
        return [name for name, state in self.states(now).items() if state in heard]

    def _state(self, contact: _Contact, now: float) -> State:
        if not contact.connected:
            return State.REFUSED if contact.refused else State.UNREACHABLE
        if contact.beat is None:
            return State.SILENT
        if now - contact.beat.at > SILENCE:
            return State.SILENT
        if contact.beat.epoch != self._epoch:
            return State.OTHER_EPOCH
        return State.READY if contact.beat.ready else State.STARTING
