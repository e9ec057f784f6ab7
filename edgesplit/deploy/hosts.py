"""Hosts: where commands run and files go, on this machine or over SSH, through one seam."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgesplit.errors import HostError
from edgesplit.spec.cluster import Device

Sent = Callable[[int], None]
"""Told of each piece of a transfer: how many bytes moved just now."""

Ask = Callable[[str, str], bool]
"""Asked whether the host key with this fingerprint is the device's; device name first."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    out: bytes
    err: bytes


class Pipe(Protocol):
    """The standard streams of a command that runs on a host. Its failures are EOFError."""

    def send(self, data: bytes) -> None:
        """Write to its standard input."""

    def receive(self) -> bytes:
        """Return what it has written, at least a byte; nothing once it has ended."""

    def said(self) -> bytes:
        """Return what it wrote to standard error, once it has ended."""

    def cut(self) -> None:
        """Make what is under way in another thread fail, whatever the network does."""

    def finish(self) -> None:
        """Close its standard input, which ends it."""

    def close(self) -> None:
        """Finish, and wait a little until the command has ended."""


class Host(Protocol):
    """A machine that runs commands and takes files. Every failure is a `HostError`."""

    @property
    def name(self) -> str:
        """The device's name."""

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Finished:
        """Run a command that ends within `timeout` seconds, whatever it writes until then.

        A word may begin with `~/`, the home there.
        """

    def stream(self, argv: Sequence[str]) -> AbstractContextManager[Iterator[bytes]]:
        """Start a command and yield what it writes, in pieces, as it comes.

        The pieces may be read by another thread than the one that leaves the context, which ends
        them. The command must end when its standard input does: that is what it sees of a stream
        that was left, and of a connection that was cut.
        """

    def converse(self, argv: Sequence[str]) -> Pipe:
        """Start a command that goes on, to talk with it; it must end with its standard input."""

    def put(self, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Write files at absolute paths whose folders exist.

        Names must be of content-addressed uploads: a shorter file that is there already is taken
        for the beginning of the same bytes and continued.
        """

    def fetch(self, path: str) -> bytes:
        """Read a file."""

    def close(self) -> None:
        """End the connection; nothing that was started on the host ends with it."""


@dataclass(frozen=True, slots=True)
class Passport:
    """What another process needs to open a host that this one has opened.

    `keys` are the lines of a known_hosts file with the very keys that the host, and those on the
    way to it, have shown to this process, which verified them.
    """

    device: Device
    keys: tuple[str, ...]


@runtime_checkable
class Portable(Protocol):
    """A host that another process can open as well."""

    def passport(self) -> Passport:
        """Return what it needs for that; connects where that hasn't been done."""


def timed_out(device: str, argv: Sequence[str], seconds: float) -> HostError:
    """Return the error of a command that didn't end in time."""
    return HostError(
        f"`{argv[0]} ...` did not end within {seconds:g} s",
        where=device,
        remedy="look whether the device is overloaded or its disk hangs",
    )


def stalled(device: str, seconds: float) -> HostError:
    """Return the error of a transfer that stopped moving."""
    return HostError(
        f"the transfer moved no byte for {seconds:g} s",
        where=device,
        remedy="look whether the device is switched on, its disk works and the network between "
        "does, and repeat the command; what was uploaded so far is kept",
    )


def stream_ended(device: str, argv: Sequence[str], code: int, said: bytes) -> HostError:
    """Return the error of a streaming command that ended by itself without success."""
    last = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {code}"]
    return HostError(
        f"`{argv[0]} ...` ended: {last[0]}",
        where=device,
        remedy="look whether the deployment is still there and the device works",
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
