"""How much of a cluster this machine can be made to look like, and what is missing for more."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from edgesplit.errors import LabError
from edgesplit.lab.bed import Level
from edgesplit.lab.hierarchy import find_hierarchies

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SSH = {"sshd": "openssh-server", "ssh-keygen": "openssh-client"}
_SPACES = {
    "ip": "iproute2",
    "tc": "iproute2",
    "hostname": "hostname",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
_TOOLS = {
    Level.ROOT: {**_SSH, **_SPACES, "setpriv": "util-linux"},
    Level.USER: {**_SSH, **_SPACES},
    Level.PLAIN: {**_SSH, "setsid": "util-linux"},
}
_NEW_SPACES = ("--net", "--mount", "--pid", "--fork")

MISSES = {
    Level.ROOT: "everything is emulated",
    Level.USER: "no CPU and memory limits",
    Level.PLAIN: "no CPU and memory limits, no networks of their own, no link faults",
}
"""What a lab of each level has, said against one of root."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a level needs and this machine doesn't have, and how to get it."""

    level: Level
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The level of a lab, and what kept it from a better one."""

    level: Level
    lacks: tuple[Lack, ...]


def choose(wanted: Level | None) -> Choice:
    """Return the wanted level, or the best that this machine allows.

    Raises:
        LabError: This machine doesn't allow it; what is missing is listed.
    """
    lacks: list[Lack] = []
    for level in (wanted,) if wanted else Level:
        missing = tuple(lacks_of(level))
        if not missing:
            return Choice(level, tuple(lacks))
        lacks.extend(missing)
    raise LabError(
        "; ".join(dict.fromkeys(lack.what for lack in lacks)),
        remedy="; ".join(dict.fromkeys(lack.remedy for lack in lacks)),
    )


def lacks_of(level: Level) -> Iterator[Lack]:
    """Yield what a level needs and isn't there."""
    for tool, package in _TOOLS[level].items():
        if shutil.which(tool, path=_PATH) is None:
            yield Lack(level, f"{tool} is missing", f"install {package}")
    if level is Level.ROOT:
        yield from _lacks_of_root()
    elif level is Level.USER:
        yield from _lacks_of_user()


def sshd() -> str:
    """Return the ssh server, by its whole path, which it insists on."""
    found = shutil.which("sshd", path=_PATH)
    if found is None:
        raise LabError("sshd is missing", remedy="install openssh-server")
    return found


def _lacks_of_root() -> Iterator[Lack]:
    if os.geteuid() != 0:
        yield Lack(Level.ROOT, "you aren't root", "run it with sudo")
        return
    if not _works(["unshare", *_NEW_SPACES, "true"]):
        yield Lack(Level.ROOT, "root may not make namespaces here", "use a machine, no container")
    groups = find_hierarchies()
    for name, found in (("memory", groups.memory), ("cpu", groups.cpu)):
        if found is None or not os.access(found.mount, os.W_OK):
            advice = f"start the kernel with cgroup_enable={name}, not in a container"
            yield Lack(Level.ROOT, f"there is no {name} cgroup to write to", advice)


def _lacks_of_user() -> Iterator[Lack]:
    if not _works(["unshare", "--user", "--map-root-user", *_NEW_SPACES, "--mount-proc", "true"]):
        advice = (
            "allow user namespaces: sysctl user.max_user_namespaces=10000, and on Ubuntu "
            "kernel.apparmor_restrict_unprivileged_userns=0"
        )
        yield Lack(Level.USER, "plain users may not make namespaces", advice)


def _works(argv: list[str]) -> bool:
    if shutil.which(argv[0], path=_PATH) is None:
        return False
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
