"""The process that keeps the namespaces of a lab at the level USER; with it, all of it ends."""

from __future__ import annotations

import subprocess
import time

from edgesplit.errors import LabError
from edgesplit.lab import census
from edgesplit.lab.bed import HOSTS, Lab
from edgesplit.lab.enter import environment
from edgesplit.runtime.processes import Process

_SPACES = ("--user", "--map-root-user", "--net", "--mount", "--pid", "--mount-proc")
# Networks are named in /run; this machine's own isn't ours to write to.
_KEEP = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && while :; do "
_KEEP += "sleep infinity & wait; done"
_SECONDS = 10.0


def start_holder(lab: Lab) -> Process:
    """Start a lab's holder and return it once its namespaces are ready.

    Raises:
        LabError: It ended at once; it says what it wrote.
    """
    log = lab.folder / HOSTS / "holder.log"
    log.parent.mkdir(exist_ok=True)
    command = ["setsid", "--fork", "unshare", *_SPACES, "--fork", "--kill-child", "--"]
    with log.open("wb") as out:
        subprocess.run(
            [*command, "sh", "-c", _KEEP],
            env=environment(lab) | {census.INIT: ""},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=True,
        )
    deadline = time.monotonic() + _SECONDS
    while "ready" not in (told := log.read_text(encoding="utf-8", errors="replace")):
        if time.monotonic() > deadline or not _bearers(lab):
            raise LabError(f"the lab's namespaces can't be made: {told.strip()}")
        time.sleep(0.005)
    return next(process for process in _bearers(lab) if census.innermost(process) == 1)


def _bearers(lab: Lab) -> list[Process]:
    return census.bearing(census.marks(lab) | {census.INIT: ""})
