"""Who works for a lab: found in /proc by a mark in the environment, and by descent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from edgesplit.errors import LabError
from edgesplit.lab.bed import Lab
from edgesplit.runtime.processes import Process

LAB = "EDGESPLIT_LAB"
HOST = "EDGESPLIT_LAB_HOST"
INIT = "EDGESPLIT_LAB_INIT"

_END_SECONDS = 10.0
_LOOK_SECONDS = 0.001
_STILL = frozenset("TtZX")
"""States of processes that are stopped, or have ended."""


def marks(lab: Lab) -> dict[str, str]:
    """Return what the environment of every process that works for a lab says."""
    return {LAB: f"{lab.level}:{os.getuid()}:{lab.name}"}


def bearing(wanted: dict[str, str], *also: str) -> list[Process]:
    """Return the processes, this one apart, that were started with these variables.

    Of those in `wanted` the value counts, of those in `also` that they are there.
    """
    found = ((pid, _environment(pid)) for pid in _pids() if pid != os.getpid())
    bearers = (pid for pid, has in found if wanted.items() <= has.items() and has.keys() >= {*also})
    return list(_there(bearers))


def descendants(process: Process) -> list[Process]:
    """Return the processes that descend from one, itself not among them."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        children.setdefault(int(_status(pid).get("PPid", "0")), []).append(pid)
    return list(_there(_below(process.pid, children)))


def stop(process: Process) -> None:
    """Stop a process, and return once it begins nothing more.

    Raises:
        LabError: It goes on.
    """
    process.send(signal.SIGSTOP)
    deadline = time.monotonic() + _END_SECONDS
    while _status(process.pid).get("State", "X")[0] not in _STILL:
        if time.monotonic() > deadline:
            raise LabError(f"process {process.pid} doesn't stop", remedy="try again in a while")
        time.sleep(_LOOK_SECONDS)


def innermost(process: Process) -> int:
    """Return a process's pid in the innermost of its pid namespaces; 0 where it has ended."""
    return int(_status(process.pid).get("NSpid", "0").split()[-1])


def end(who: Callable[[], Iterable[Process]]) -> None:
    """Kill processes until there are none.

    Raises:
        LabError: One won't end.
    """
    deadline = time.monotonic() + _END_SECONDS
    while alive := [process for process in who() if process.alive]:
        for process in alive:
            process.send(signal.SIGKILL)
        if not alive[0].wait(deadline - time.monotonic()):
            raise LabError(
                f"process {alive[0].pid} doesn't end",
                remedy="it may wait for a disk; try again in a while",
            )


def _below(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    for child in children.get(pid, ()):
        yield child
        yield from _below(child, children)


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())


def _there(pids: Iterable[int]) -> Iterator[Process]:
    for pid in pids:
        with suppress(ProcessLookupError):
            yield Process.of(pid)


def _environment(pid: int) -> dict[str, str]:
    """Return what a process was started with; nothing where it has ended or is another's."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(pair.partition("=")[::2] for pair in text.split("\0"))


def _status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (s.partition(":") for s in text.splitlines())}
