"""A host's storage: a file system of its own for the login's home, so that it can be full.

It lies in one sparse file, which the host mounts; what a host writes takes room on this machine
only as it comes.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from edgesplit.errors import LabError
from edgesplit.lab.bed import Lab, LabHost
from edgesplit.lab.enter import environment, init_pid

FILE = "card.img"
"""A card, in its host's folder; `host.sh` mounts it."""

_PLACE = "mnt"  # Where a host has its card; the home is a part of it.
_BALLAST = "ballast"
_SIZE = 8 << 30
_MAKE = ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "65536", "-O", "^has_journal"]
_LOOP = Path("/dev/loop-control")


def make_card(lab: Lab, host: LabHost) -> None:
    """Make a host's card, with what its home has, where this machine could mount one."""
    surroundings = environment(lab)
    if not _LOOP.exists() or shutil.which(_MAKE[0], path=surroundings["PATH"]) is None:
        return
    image = host.folder / FILE
    with image.open("wb") as file:
        file.truncate(_SIZE)
    command = [*_MAKE, "-d", str(host.home.parent), str(image)]
    subprocess.run(command, env=surroundings, stdin=subprocess.DEVNULL, check=True)


def fill(lab: Lab, host: LabHost, free: int = 0) -> None:
    """Fill a host's card but for so many bytes; its files stay, and no room is taken elsewhere.

    Raises:
        LabError: The host is off, or it has no card.
    """
    ballast = _ballast(lab, host)
    with ballast.open("wb") as file:
        _grow(file.fileno(), os.statvfs(ballast).f_bfree * os.statvfs(ballast).f_frsize)
        size = os.fstat(file.fileno()).st_size
        file.truncate(max(0, size - free))
        os.fsync(file.fileno())


def empty(lab: Lab, host: LabHost) -> None:
    """Free what `fill` took; raises as it does."""
    _ballast(lab, host).unlink(missing_ok=True)


def _grow(file: int, step: int) -> None:
    """Make a file longer until there is no room for one more block."""
    while step >= 4096:
        try:
            os.posix_fallocate(file, os.fstat(file).st_size, step)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            step //= 2


def _ballast(lab: Lab, host: LabHost) -> Path:
    place = Path(f"/proc/{init_pid(lab, host).pid}/root") / _PLACE
    if not place.is_mount():
        raise LabError(
            "it has no storage of its own that could be full",
            where=host.name,
            remedy="let this machine have loop devices (modprobe loop), then make the lab again",
        )
    return place / _BALLAST
