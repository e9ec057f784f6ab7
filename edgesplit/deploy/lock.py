"""One operator at a time: a lease on every device, renewed while we work and given back after."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.station import Station
from edgesplit.deploy.steps import Progress, Step
from edgesplit.errors import DeployError
from edgesplit.runtime.processes import Process

LEASE = 60.0
"""Seconds after which a lock whose owner has gone silent may be taken."""

_RENEWAL = 15.0

Holder = Mapping[str, Any]
"""Who has a lock: owner, since when, for how much longer, and by which process."""


@contextmanager
def locked(crew: Crew, progress: Progress) -> Iterator[None]:
    """Hold the lock of every device while the body runs.

    A lock whose owner is a dead process of this machine is taken over at once.

    Raises:
        DeployError: Somebody else holds a device's lock; none is held by us then.
        HostError: A device can't be reached.
    """
    token = secrets.token_hex(16)
    order = {"owner": _owner(), "token": token, "seconds": LEASE, "process": _this_process()}
    for station in crew.stations.values():
        station.token = token
    asked: list[str] = []
    try:
        progress(Step("", "lock"))
        _take(crew, order, asked)
        with _renewing(crew, order):
            yield
        progress(Step("", "unlock"))
    finally:
        _give_back(crew.only(asked))
        for station in crew.stations.values():
            station.token = None


def _give_back(crew: Crew) -> None:
    """Unlock devices; one whose connection was lost meanwhile is told over a new one."""
    _, failures = crew.attempt(lambda station: station.call("unlock"))
    crew.only(failures).attempt(lambda station: station.call("unlock"))


def _take(crew: Crew, order: Mapping[str, Any], asked: list[str]) -> None:
    """Take one device's lock before the others': of two operators, one gets all of them.

    `asked` is given the devices that may have given us theirs.
    """
    first = min(crew.stations)
    for part in ({first}, crew.stations.keys() - {first}):
        holders = crew.only(part).each(lambda station: _lock(station, order, asked))
        for name, holder in holders.items():
            if holder is not None:
                raise _taken(name, holder)


def _lock(station: Station, order: Mapping[str, Any], asked: list[str]) -> Holder | None:
    """Take a device's lock, also from a dead process of this machine; return who keeps it."""
    station.bootstrap()
    asked.append(station.device.name)
    answer = station.call("lock", order=order)
    if not answer["got"] and is_dead(answer["holder"]["process"]):
        taking = {"steal": True, "stolen": answer["holder"]["token"]}
        answer = station.call("lock", order={**order, **taking})
    return None if answer["got"] else answer["holder"]


def _taken(device: str, holder: Holder) -> DeployError:
    return DeployError(
        f"{holder['owner']} has been changing this cluster for {holder['age']:.0f} s",
        where=device,
        remedy="wait until that is done; if it was cut off, its lock expires in "
        f"{holder['expires_in']:.0f} s",
    )


@contextmanager
def _renewing(crew: Crew, order: Mapping[str, Any]) -> Iterator[None]:
    """Renew the lease now and then; where it gets lost, devices refuse what is asked of them."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_RENEWAL):
            crew.attempt(lambda station: station.call("lock", order=order))

    # A daemon: a device that hangs must not keep an interrupted command alive.
    thread = threading.Thread(target=renew, name="edgesplit-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        # A renewal that came after the release would lock everybody out.
        thread.join(_RENEWAL)


def _owner() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A user without a name, as containers have.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _this_process() -> dict[str, object]:
    process = Process.of(os.getpid())
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": process.pid,
        "started": process.started,
    }


def is_dead(process: Mapping[str, Any]) -> bool:
    """Tell whether a process was one of this machine, in this boot, and is no more."""
    if (process["host"], process["boot"]) != (socket.gethostname(), _boot()):
        return False
    return not Process(process["pid"], process["started"]).alive


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
