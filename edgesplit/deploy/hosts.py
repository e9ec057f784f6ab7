"""Hosts: where commands run and files go, on this machine or over SSH, through one seam."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgesplit.errors import HostError

Sent = Callable[[int], None]
"""Told of each piece of a transfer: bytes that were put or found there already."""

Ask = Callable[[str, str], bool]
"""Asked whether the host key with this fingerprint is the device's; device name first."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    out: bytes
    err: bytes


class Host(Protocol):
    """A machine that runs commands and takes files. Every failure is a `HostError`."""

    @property
    def name(self) -> str:
        """The device's name."""

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Finished:
        """Run a command; `timeout` is in seconds. A word may begin with `~/`, the home there."""

    def put(self, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Write files at absolute paths whose folders exist.

        Names must be of content-addressed uploads: a shorter file that is there already is taken
        for the beginning of the same bytes and continued.
        """

    def fetch(self, path: str) -> bytes:
        """Read a file."""

    def close(self) -> None:
        """End the connection; nothing that was started on the host ends with it."""


def timed_out(device: str, argv: Sequence[str], seconds: float) -> HostError:
    """Return the error of a command that didn't end in time."""
    return HostError(
        f"`{argv[0]} ...` did not end within {seconds:g} s",
        where=device,
        remedy="look whether the device is overloaded or its disk hangs",
    )


def refused(device: str, path: str, error: OSError) -> HostError:
    """Return the error of a file that couldn't be written or read."""
    remedies = {
        errno.ENOSPC: "free some space there; what was uploaded so far is kept",
        errno.EDQUOT: "free some space there; what was uploaded so far is kept",
        errno.EACCES: "give the login user this folder, or set the device's `root` to another",
        errno.EPERM: "give the login user this folder, or set the device's `root` to another",
        errno.EROFS: "set the device's `root` to a folder on a disk that can be written",
    }
    reason = error.strerror or str(error) or type(error).__name__
    remedy = remedies.get(error.errno or 0, "look at the disk there: space, rights, errors")
    return HostError(f"{path}: {reason}", where=device, remedy=remedy)
