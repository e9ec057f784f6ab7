"""Timing specimens on several devices at once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.programs import threads_of
from edgesplit.deploy.push import push_all
from edgesplit.deploy.station import Station
from edgesplit.errors import EdgesplitError
from edgesplit.operate.prepare import Progress, Stage
from edgesplit.plan.specimens import Specimen
from edgesplit.shards.specimens import EMPTY, Pack

_REMOVAL_SECONDS = 60.0


@dataclass
class Timed:
    """What a device told: its `machine`, and seconds of specimens, or why there are none.

    `load` is how many processes wanted to run, a core, as it began.
    `run` are the seconds of a session that computes nothing. `error` is what it ended of, if it
    didn't come to the end.
    """

    machine: str = ""
    load: float = 0.0
    run: float = 0.0
    seconds: list[tuple[Specimen, float]] = field(default_factory=list)
    failed: dict[str, None] = field(default_factory=dict)
    error: EdgesplitError | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """A line from a device; without one, its end."""

    device: str
    line: Mapping[str, Any] | None = None
    error: EdgesplitError | None = None


def time_specimens(
    crew: Crew, packs: Mapping[str, Pack], progress: Progress
) -> Mapping[str, Timed]:
    """Push specimens to devices, have each time its own, and leave nothing of them there.

    Interrupted, it ends what runs there.

    Raises:
        EdgesplitError: A device could not be given its specimens.
    """
    blobs = {name: {_blob(made): made.content} for name, made in packs.items()}
    push_all(crew, blobs, lambda *told: progress(Stage("push", told[1], told[2], told[0])))
    arrived: SimpleQueue[_Told] = SimpleQueue()
    found = {name: Timed() for name in packs}
    counts = dict.fromkeys(packs, 0)
    with ExitStack() as streams:
        for name, made in packs.items():
            _begin(crew.stations[name], made, arrived, streams)
        while counts:
            told = arrived.get()
            if told.line is None:
                found[told.device].error = told.error
                del counts[told.device]
                continue
            _note(found[told.device], packs[told.device], told.line)
            counts[told.device] += 1
            total = len(packs[told.device].specimens) + 2
            progress(Stage("profile", counts[told.device], total, told.device))
    return found


def _begin(station: Station, made: Pack, arrived: SimpleQueue[_Told], streams: ExitStack) -> None:
    blob = _blob(made)
    streams.callback(_clean, station, blob)
    pieces = streams.enter_context(station.stream("profile", str(threads_of(station.device)), blob))
    name = station.device.name
    threading.Thread(target=_pump, args=(name, pieces, arrived), daemon=True).start()


def _pump(device: str, pieces: Iterator[bytes], arrived: SimpleQueue[_Told]) -> None:
    error = None
    try:
        for line in _lines(pieces):
            arrived.put(_Told(device, json.loads(line)))
    except EdgesplitError as failure:
        error = failure
    arrived.put(_Told(device, error=error))


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines of JSON in a stream; a login shell may write others before them."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line.startswith(b"{"))


def _note(timed: Timed, made: Pack, line: Mapping[str, Any]) -> None:
    name = line.get("name")
    if name is None:
        timed.machine, timed.load = line["machine"], line["load"]
    elif "failed" in line:
        timed.failed[line["failed"]] = None
    elif name == EMPTY:
        timed.run = line["seconds"]
    else:
        timed.seconds.append((made.specimens[name], line["seconds"]))


def _clean(station: Station, blob: str) -> None:
    """Remove what a process that was killed has left."""
    leftovers = [f"{station.found.root}/profile", station.blob(blob)]
    with suppress(EdgesplitError):  # A device that can't be reached any more cleans up by itself.
        station.host.run(["rm", "-rf", *leftovers], timeout=_REMOVAL_SECONDS)


def _blob(made: Pack) -> str:
    return f"{hashlib.sha256(made.content).hexdigest()}.zip"
