"""Faults of processes: killed, stopped, or the whole host stopped."""

from __future__ import annotations

import signal
from itertools import pairwise
from pathlib import Path

from edgesplit.errors import LabError
from edgesplit.lab import census
from edgesplit.lab.bed import Lab, LabHost
from edgesplit.lab.cgroups import freeze, thaw
from edgesplit.lab.enter import host_processes, init_pid
from edgesplit.lab.faults.fault import Fault
from edgesplit.runtime.processes import Process

_EXECUTOR = ("edgesplit.runtime", "execute")


def kill(lab: Lab, host: LabHost, fault: Fault) -> tuple[Process, ...]:
    """Kill processes as the kernel does when it is out of memory; return them once they are gone.

    Raises:
        LabError: There is none of the kind, or the host is off.
    """
    chosen = choose(lab, host, fault.processes)
    census.end(lambda: chosen)
    return chosen


def hang(lab: Lab, host: LabHost, fault: Fault) -> tuple[Process, ...]:
    """Stop processes where they are; their connections stay. Raises as `kill`."""
    chosen = choose(lab, host, fault.processes)
    for process in chosen:
        process.send(signal.SIGSTOP)
    return chosen


def go_on(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Let every process of a host go on that stands still."""
    for process in host_processes(lab, host):
        process.send(signal.SIGCONT)


def freeze_host(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Stop everything on a host, its ssh server too; its kernel still answers."""
    freeze(lab, host)


def thaw_host(lab: Lab, host: LabHost, _fault: Fault) -> None:
    """Let a frozen host go on."""
    thaw(lab, host)


def choose(lab: Lab, host: LabHost, wanted: str) -> tuple[Process, ...]:
    """Return a host's executors; or what has this pid on it, or this in its command line.

    The host's first process is never among them: with it, all of the host would end.

    Raises:
        LabError: There is none, or the host is off.
    """
    first = init_pid(lab, host)
    others = (process for process in host_processes(lab, host) if process != first)
    within = (process for process in others if _space(process) == _space(first))
    chosen = tuple(process for process in within if _is_wanted(process, wanted))
    if not chosen:
        raise LabError(
            f"no process here is {wanted!r}" if wanted else "no executor runs here",
            where=host.name,
            remedy="deploy first, or say which: a pid of the host, or a part of a command line",
        )
    return chosen


def _is_wanted(process: Process, wanted: str) -> bool:
    if wanted.isdecimal():
        return census.innermost(process) == int(wanted)
    words = _command(process.pid)
    return wanted in " ".join(words) if wanted else _EXECUTOR in pairwise(words)


def _space(process: Process) -> str:
    """Return the pid namespace of a process; that of who only looks into a host is another."""
    try:
        return str(Path(f"/proc/{process.pid}/ns/pid").readlink())
    except FileNotFoundError:
        return ""


def _command(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.split("\0")
