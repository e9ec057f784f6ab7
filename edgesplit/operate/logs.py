"""What the executors of a deployment wrote, of all devices at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.record import Record
from edgesplit.deploy.standing import look
from edgesplit.deploy.station import Station
from edgesplit.errors import EdgesplitError, HostError, UsageError
from edgesplit.runtime.program import SLOTS
from edgesplit.spec.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a device's log."""

    device: str
    text: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A device whose log can't be had, or not any longer, and why."""

    device: str
    error: EdgesplitError


Event = Line | Silence


@contextmanager
def open_logs(
    record: Record, devices: Sequence[str] = (), ask: Ask | None = None
) -> Iterator[Crew]:
    """Yield a crew of these devices of a deployment, or of all.

    Raises:
        UsageError: The deployment has no such device.
    """
    known = tuple(record.programs)
    for name in devices:
        if name not in known:
            raise UsageError(
                f"the deployment has no device {name!r}{did_you_mean(name, known)}",
                remedy=f"name one of: {', '.join(known)}",
            )
    cluster = record.devices
    wanted = [cluster.device(name) for name in devices or known]
    with open_crew(wanted, cluster.name, ask) as crew:
        yield crew


def tail(crew: Crew, lines: int) -> Generator[Event, None, None]:
    """Yield the last lines of every device's log, device by device."""
    told, failures = crew.attempt(lambda station: _tail(station, lines))
    for name in crew.stations:
        if name in failures:
            yield Silence(name, failures[name])
        else:
            yield from (Line(name, text) for text in told[name])


def follow(crew: Crew, lines: int) -> Generator[Event, None, None]:
    """Yield the last lines of every device's log, then new ones as they come, from all at once.

    Both slots are followed, so that a release that takes over meanwhile is heard. It ends when no
    device is left to follow; close it to end earlier: what runs on the devices ends with it.
    """
    arrived: SimpleQueue[_Piece] = SimpleQueue()
    for station in crew.stations.values():
        _begin(_look_and_pump, station, lines, arrived)
    rests = {(name, slot): b"" for name in crew.stations for slot in range(SLOTS)}
    with ExitStack() as streams:
        while rests:
            piece = arrived.get()
            if piece.stream is not None:
                streams.push(piece.stream)
            yield from _lines(piece, rests)
            if piece.ended is not None:
                del rests[piece.device, piece.slot]
                if not any(device == piece.device for device, _ in rests):
                    yield Silence(piece.device, piece.ended)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is told of a slot: an opened stream, bytes of it, or why there are no more."""

    device: str
    slot: int
    text: bytes = b""
    stream: AbstractContextManager[object] | None = None
    ended: EdgesplitError | None = None


_Arrived = SimpleQueue[_Piece]


def _begin(work: Callable[..., None], *args: object) -> None:
    # Daemons: one that is still dialling a dead host must not keep the command alive.
    threading.Thread(target=work, args=args, daemon=True).start()


def _look_and_pump(station: Station, lines: int, arrived: _Arrived) -> None:
    """Follow both slots; what was there before is shown of the current release alone."""
    try:
        standing = look(station)
    except EdgesplitError as error:
        for slot in range(SLOTS):
            arrived.put(_Piece(station.device.name, slot, ended=error))
        return
    current = standing.slot_with(standing.current) or 0
    _begin(_pump, station, 1 - current, 0, arrived)
    _pump(station, current, lines, arrived)


def _pump(station: Station, slot: int, lines: int, arrived: _Arrived) -> None:
    device = station.device.name
    ended: EdgesplitError = HostError("its log ended", where=device, remedy=_REMEDY)
    try:
        stream = station.stream("follow", str(lines), "--slot", str(slot))
        chunks = stream.__enter__()
        # Left by the thread that reads the queue: that is what ends this one's reading.
        arrived.put(_Piece(device, slot, stream=stream))
        for chunk in chunks:
            arrived.put(_Piece(device, slot, chunk))
    except EdgesplitError as error:
        ended = error
    arrived.put(_Piece(device, slot, ended=ended))


def _lines(piece: _Piece, rests: dict[tuple[str, int], bytes]) -> Iterator[Line]:
    """Yield the lines that a piece completes; the last of a log may have no end."""
    key = piece.device, piece.slot
    *whole, rest = (rests[key] + piece.text).split(b"\n")
    if piece.ended is not None and rest:
        whole.append(rest)
    rests[key] = rest
    for text in whole:
        yield Line(piece.device, text.decode(errors="replace").rstrip("\r"))


_REMEDY = "look whether it is still deployed and switched on: edgesplit status"


def _tail(station: Station, lines: int) -> list[str]:
    station.bootstrap()
    told: list[str] = station.call("log", str(lines))["lines"]
    return told
