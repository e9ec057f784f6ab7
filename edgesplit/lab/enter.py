"""Doors into a lab: a host with all its namespaces, or a network of it; and who is inside.

Every process that works for a lab carries the lab's mark in its environment, so that `down` finds
it whatever became of its parent. Whoever starts one in the background gives it `environment`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn

from edgesplit.errors import LabError
from edgesplit.lab import census
from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.cgroups import Groups
from edgesplit.runtime.processes import Process

CONTROLLER = "controller"
SWITCH = "switch"

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Joins cgroups, as many as the first argument says, then becomes the command after them.
_JOIN = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1/cgroup.procs" || exit 126; shift; '
_JOIN += 'n=$((n-1)); done; exec "$@"'
_BE_THERE = 'cd "$0" && exec "$@"'
_BE_HOME = 'cd "$HOME" && exec "$0" "$@"'
_USER_OF_ROOT = ("--map-user=1000", "--map-group=1000")


def environment(lab: Lab, host: LabHost | None = None, user: str | None = None) -> dict[str, str]:
    """Return the environment of a process that works for a lab, or on a host of it."""
    base = {"PATH": _PATH, "LANG": "C.UTF-8", **census.marks(lab)}
    if host is None:
        return base
    home = "/root" if user is None else f"/home/{user}"
    if lab.level is Level.PLAIN:
        home, user = str(host.home), lab.login
    name = user or "root"
    return base | {census.HOST: host.name, "HOME": home, "USER": name, "LOGNAME": name}


def outside(lab: Lab, argv: Sequence[str]) -> list[str]:
    """Return the command that runs one in the controller's place.

    At the level USER that is inside the lab's holder; else it is this machine itself.

    Raises:
        LabError: The lab's holder is gone.
    """
    if lab.level is not Level.USER:
        return list(argv)
    door = ["nsenter", f"--target={_holder(lab).pid}", "--user", "--mount", "--net", "--pid"]
    return [*door, "--preserve-credentials", "--", "sh", "-c", _BE_THERE, str(Path.cwd()), *argv]


def network(lab: Lab, where: str, argv: Sequence[str]) -> list[str]:
    """Return the command that runs one in a network: `switch`, `controller`, or a host's."""
    if where == CONTROLLER or lab.level is Level.PLAIN:
        return outside(lab, argv)
    name = lab.switch if where == SWITCH else lab.netns(lab.host(where).name)
    return outside(lab, ["nsenter", f"--net=/run/netns/{name}", "--", *argv])


def inside(lab: Lab, host: LabHost, argv: Sequence[str], *, user: str | None = None) -> list[str]:
    """Return the command that runs one on a host; it needs `environment(lab, host, user)`.

    Raises:
        LabError: The host is off, or only root may.
    """
    if lab.level is Level.ROOT and os.geteuid() != 0:
        raise LabError(
            "only root may enter a host of this lab",
            where=host.name,
            remedy=f"use sudo, or log in: ssh -F {lab.folder}/ssh_config {host.name}",
        )
    if lab.level is Level.PLAIN:
        init_pid(lab, host)
        return ["sh", "-c", _BE_THERE, str(host.home), *argv]
    there = ["sh", "-c", _BE_HOME, *argv] if user else list(argv)
    door = ["nsenter", f"--target={init_pid(lab, host).pid}", "--mount", "--uts", "--ipc"]
    door += ["--net", "--pid"]
    if lab.level is Level.USER:
        change = ["unshare", "--user", *_USER_OF_ROOT, "--"] if user else []
        return [*door, "--user", "--preserve-credentials", "--", *change, *there]
    change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    return joining(lab, host, [*door, "--", *change, *there])


def joining(lab: Lab, host: LabHost, argv: Sequence[str]) -> list[str]:
    """Return the command that becomes another one after it has joined a host's cgroups."""
    groups = Groups.of(lab).folders(host.name)
    return ["sh", "-c", _JOIN, "sh", str(len(groups)), *map(str, groups), *argv]


def run(
    lab: Lab, argv: Sequence[str], *, text: str | None = None, timeout: float = 30.0
) -> CompletedProcess[str]:
    """Run a command in the controller's place.

    Raises:
        LabError: It failed, or took longer than `timeout` seconds; it says what it wrote.
    """
    return in_network(lab, CONTROLLER, argv, text=text, timeout=timeout)


def in_network(
    lab: Lab, where: str, argv: Sequence[str], *, text: str | None = None, timeout: float = 30.0
) -> CompletedProcess[str]:
    """Run a command in a network of the lab: `switch`, `controller`, or that of a host by name.

    Raises:
        LabError: It failed, or took longer than `timeout` seconds; it says what it wrote.
    """
    door = network(lab, where, argv)
    done = _run(door, environment(lab), text=text, timeout=timeout, where=where)
    return _checked(done, argv, where)


def in_host(
    lab: Lab,
    host: LabHost,
    argv: Sequence[str],
    *,
    user: str | None = None,
    text: str | None = None,
    timeout: float = 30.0,
    check: bool = True,
) -> CompletedProcess[str]:
    """Run a command on a host: its network, files, processes and cgroups; as root by default.

    Raises:
        LabError: The host is off, it took too long, or (with `check`) the command failed.
    """
    door = inside(lab, host, argv, user=user)
    there = environment(lab, host, user)
    done = _run(door, there, text=text, timeout=timeout, where=host.name)
    return _checked(done, argv, host.name) if check else done


def become(lab: Lab, host: LabHost | None, argv: Sequence[str], *, user: str | None) -> NoReturn:
    """Turn this process into a command on a host, or in the controller's place, for a terminal.

    Raises:
        LabError: The host is off, or only root may.
        FileNotFoundError: There is no such command in the controller's place.
    """
    if host is None:
        door, env = outside(lab, argv), dict(os.environ)
    else:
        door, env = inside(lab, host, argv, user=user), environment(lab, host, user)
        env |= {"TERM": os.environ.get("TERM", "dumb")}
    os.execvpe(door[0], door, env)  # noqa: S606 - a list of words, no shell


def init_pid(lab: Lab, host: LabHost) -> Process:
    """Return the host's first process, as this machine sees it.

    Raises:
        LabError: The host is off.
    """
    if (first := _first(lab, host)) is None:
        raise LabError(
            "it is switched off", where=host.name, remedy=f"switch it on, or look at {host.log}"
        )
    return first


def is_on(lab: Lab, host: LabHost) -> bool:
    """Return whether a host has a first process."""
    return _first(lab, host) is not None


def host_processes(lab: Lab, host: LabHost) -> list[Process]:
    """Return all processes of a host, the first one first; none where it is off."""
    sent_in = census.bearing(census.marks(lab) | {census.HOST: host.name})
    if (first := _first(lab, host)) is None:
        return sent_in
    return list(dict.fromkeys((first, *census.descendants(first), *sent_in)))


def _first(lab: Lab, host: LabHost) -> Process | None:
    for process in census.bearing(census.marks(lab) | {census.INIT: host.name}):
        if lab.level is Level.PLAIN or census.innermost(process) == 1:
            return process if process.alive else None
    return None


def _holder(lab: Lab) -> Process:
    if lab.holder is None or not lab.holder.alive:
        raise LabError(
            f"the lab {lab.name} is down",
            remedy="clean up with `edgesplit lab down`, then make it again",
        )
    return lab.holder


def _run(
    argv: Sequence[str], env: Mapping[str, str], *, text: str | None, timeout: float, where: str
) -> CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            input=text or "",
            env=env,
            timeout=timeout,
            text=True,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(
            f"`{shlex.join(argv)}` took more than {timeout:g} s",
            where=where,
            remedy="this machine may be overloaded",
        ) from error


def _checked(done: CompletedProcess[str], argv: Sequence[str], where: str) -> CompletedProcess[str]:
    if done.returncode:
        told = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise LabError(f"`{shlex.join(argv)}` failed: {told}", where=where)
    return done
