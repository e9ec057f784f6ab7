"""Labs for tests: made under a name of their own, always taken down, and looked for afterwards."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgesplit.errors import LabError
from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.down import take_down
from edgesplit.lab.enter import run
from edgesplit.lab.hierarchy import find_hierarchies
from edgesplit.lab.levels import lacks_of
from edgesplit.lab.up import Wanted, bring_up

REQUIRE_LAB = "EDGESPLIT_REQUIRE_LAB"
"""Set in the environment, it makes a missing part of the lab a failure instead of a skip."""

# In a mount namespace of its own: the folder at the top on the way to Python opens for everyone.
_OPEN = """
set -e
top=/$(echo "$0" | cut -d/ -f2)
if [ "$(stat -c %A "$top" | cut -c10)" != x ]; then
  mount --bind "$0" /mnt
  mount -t tmpfs -o mode=755 tmpfs "$top"
  mkdir -p "$0"
  mount --bind /mnt "$0"
fi
exec "$@"
"""

BOARD = "raspberry-pi-3b"


@contextmanager
def lab(
    folder: Path,
    devices: int = 2,
    *,
    level: Level = Level.ROOT,
    presets: tuple[str, ...] = (),
    radio: bool = False,
    loss: float = 0.0,
    seed: int = 0,
    sliced: bool = False,
    bare: bool = False,
) -> Iterator[Lab]:
    """Run a lab in `folder`; nothing of it is left afterwards.

    Where this machine doesn't allow its level, the test is skipped with what is missing; it fails
    where the environment variable `EDGESPLIT_REQUIRE_LAB` is set.
    """
    need(level)
    wanted = Wanted(
        presets or (BOARD,) * devices,
        folder / "lab",
        fresh_name(),
        level,
        radio=radio,
        loss=loss,
        seed=seed,
        sliced=sliced,
        bare=bare,
    )
    try:
        yield bring_up(wanted).lab
    finally:
        take_down(wanted.folder, None)


def need(level: Level) -> None:
    """Skip the test, or fail it, where this machine doesn't allow labs of a level."""
    lacks = [f"{lack.what} ({lack.remedy})" for lack in lacks_of(level)]
    if lacks:
        end = pytest.fail if os.environ.get(REQUIRE_LAB) else pytest.skip
        end(f"no lab of level {level} here: {'; '.join(lacks)}")


def fresh_name() -> str:
    """Return a name that no other lab has."""
    return f"t{secrets.token_hex(4)}"


def ssh(lab: Lab, host: LabHost, command: str) -> str:
    """Run a shell command on a host by way of its ssh server; return what it wrote."""
    config = str(lab.folder / "ssh_config")
    return run(lab, ["ssh", "-F", config, host.name, command]).stdout.strip()


def traces(name: str, folder: Path) -> set[str]:
    """Return all that a lab of this name or in this folder has on this machine."""
    return {
        *_networks(name),
        *_links(name),
        *_cgroups(name),
        *_mounts(folder),
        *_processes(name, folder),
        *(str(path) for path in Path("/run").glob(f"edgesplit-labs*/{name}*")),
        *(str(path) for path in folder.glob("*")),
    }


def edgesplit(*words: str) -> list[str]:
    """Return the command line that runs edgesplit."""
    return [sys.executable, "-m", "edgesplit", *words]


def unprivileged(*command: str) -> list[str]:
    """Return the command as nobody runs it, who may read this Python whatever folder it is in."""
    if os.geteuid() != 0:
        return list(command)
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return ["unshare", "--mount", "sh", "-c", _OPEN, sys.base_prefix, *drop, *command]


def is_switched_off(lab: Lab, host: LabHost) -> bool:
    """Return whether one can't log in to a host any more."""
    try:
        ssh(lab, host, "true")
    except LabError:
        return True
    return False


def _networks(name: str) -> Iterator[str]:
    folder = Path("/run/netns")
    return (f"network {path.name}" for path in folder.glob(f"{name}-*"))


def _links(name: str) -> Iterator[str]:
    shown = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True)
    return (f"link {found}" for found in re.findall(rf"\b{name}-\w+", shown.stdout))


def _cgroups(name: str) -> Iterator[str]:
    for mount in find_hierarchies().mounts:
        yield from (f"cgroup {path}" for path in mount.rglob(f"*{name}*"))


def _mounts(folder: Path) -> Iterator[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return (f"mount {line}" for line in lines if str(folder) in line)


def _processes(name: str, folder: Path) -> Iterator[str]:
    """Yield the processes that name the lab in their environment or the folder in their words."""
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal() or int(path.name) == os.getpid():
            continue
        try:
            words = (path / "cmdline").read_bytes()
            environ = (path / "environ").read_bytes()
        except OSError:
            continue
        if f":{name}\0".encode() in environ or f"{folder}/".encode() in words:
            yield f"process {path.name} {words!r}"
