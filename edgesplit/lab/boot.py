"""Switching a host on and off."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgesplit.errors import LabError
from edgesplit.lab import banner, census
from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.cgroups import kill_all
from edgesplit.lab.disk import SSHD_CONFIG, foreign_folders
from edgesplit.lab.enter import (
    environment,
    host_processes,
    is_on,
    joining,
    network,
    outside,
)
from edgesplit.lab.levels import sshd
from edgesplit.runtime.processes import Process

_SCRIPT = Path(__file__).with_name("host.sh")
_SECONDS = 20.0
_LOOK_SECONDS = 1.0
_SPACES = ("--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")
_LAST_LINES = 5


def boot(lab: Lab, host: LabHost) -> None:
    """Start a host and return once its ssh server answers; its disk is as it was left.

    Raises:
        LabError: It runs already, or it didn't come up.
    """
    if is_on(lab, host):
        raise LabError("it is switched on already", where=host.name, remedy="switch it off first")
    start(lab, host)
    await_ssh(lab, (host,))


def power_off(lab: Lab, host: LabHost) -> None:
    """Cut a host's power: every process of it ends at once; its disk stays.

    Raises:
        LabError: A process won't end.
    """
    if lab.level is Level.ROOT:
        kill_all(lab, host)
    elif lab.level is Level.PLAIN:
        census.end(lambda: _all_but_first(lab, host))
    census.end(lambda: host_processes(lab, host))


def start(lab: Lab, host: LabHost) -> None:
    """Start a host's first process; it goes on by itself, whatever becomes of this one."""
    shutil.rmtree(host.folder / "work", ignore_errors=True)  # Of a mount that wasn't ended.
    (host.folder / "work").mkdir()
    first = {census.INIT: host.name}
    with host.log.open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", *_first(lab, host)],
            env=environment(lab, host) | first,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )


def await_ssh(lab: Lab, hosts: Sequence[LabHost]) -> None:
    """Wait until the hosts' ssh servers answer.

    Raises:
        LabError: One ended, or didn't answer in time; it says what it wrote last.
    """
    deadline = time.monotonic() + _SECONDS
    silent = {host.address: host for host in hosts}
    while silent:
        silent = {each: silent[each] for each in _silent(lab, silent)}
        for host in silent.values():
            if time.monotonic() > deadline or not is_on(lab, host):
                raise LabError(
                    f"its ssh server doesn't answer; it wrote: {_last_words(host.log)}",
                    where=host.name,
                    remedy=f"the whole log is {host.log}",
                )


def _silent(lab: Lab, addresses: Iterable[str]) -> list[str]:
    if lab.level is not Level.USER:
        return banner.silent(addresses, lab.ssh_port, _LOOK_SECONDS)
    asked = [str(_LOOK_SECONDS), str(lab.ssh_port), *addresses]
    command = [sys.executable, "-P", "-m", banner.__name__, *asked]
    env = environment(lab)
    told = subprocess.run(outside(lab, command), check=True, capture_output=True, env=env)
    return told.stdout.decode("ascii").split()


def _first(lab: Lab, host: LabHost) -> list[str]:
    """Return the command of a host's first process."""
    if lab.level is Level.PLAIN:
        server = [sshd(), "-D", "-e", "-f", str(host.disk / SSHD_CONFIG)]
        return [sys.executable, "-P", "-m", "edgesplit.lab.reaper", *server]
    places = [str(place) for place in foreign_folders(lab)]
    init = ["sh", str(_SCRIPT), lab.level, str(host.folder), host.name, sshd(), *places]
    spaces = network(lab, host.name, ["unshare", *_SPACES, "--", *init])
    return joining(lab, host, spaces) if lab.level is Level.ROOT else spaces


def _all_but_first(lab: Lab, host: LabHost) -> list[Process]:
    """Return a host's processes but the first, which adopts the children of those that end."""
    found = host_processes(lab, host)
    return found[1:] if is_on(lab, host) else found


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "; ".join(lines[-_LAST_LINES:]) or "nothing"
