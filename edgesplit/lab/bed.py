"""What a lab is: its hosts, how each is linked, and the names of everything it has in the kernel.

All names follow from the lab's own name, so a lab can be taken down by whoever knows that alone.
"""

from __future__ import annotations

import getpass
import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgesplit.errors import LabError, UsageError
from edgesplit.files import replacing
from edgesplit.runtime.processes import Process

LOGIN = "pi"
"""The login on every host that has a file system of its own."""

LAB_FILE = "lab.json"
"""What a lab is, in its folder."""

HOSTS = "hosts"
"""What the hosts have, in a lab's folder."""

PLAIN_SSH_PORT = 2222
"""Where ssh servers listen that may not have port 22."""

_NAME = re.compile(r"[a-z][a-z0-9]{0,10}")  # A network interface's name has 15 characters.


class Level(StrEnum):
    """How much of a cluster this machine can be made to look like."""

    ROOT = "root"
    USER = "user"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a link carries each way, and how.

    `rate` is in payload bytes a second, `delay` in seconds, `tail` the mean in seconds of an
    exponential delay on top of it, `loss` the share of frames that are lost, drawn from `seed`.
    """

    rate: float
    delay: float = 0.0
    tail: float = 0.0
    loss: float = 0.0
    seed: int = 0

    @property
    def radio(self) -> bool:
        """Whether it takes more than a rate: then frames pass through a program of ours."""
        return bool(self.delay or self.tail or self.loss)


@dataclass(frozen=True, slots=True)
class LabHost:
    """One emulated computer.

    `index` counts from 1, `memory` is its limit in bytes, `slice` the cores of this machine that
    it may use (None: all), `folder` holds its disk and its log.
    """

    name: str
    index: int
    address: str
    preset: str
    memory: int
    shape: Shape
    slice: float | None
    folder: Path

    @property
    def disk(self) -> Path:
        """What differs from this machine's own files, as its file system sees it."""
        return self.folder / "disk"

    @property
    def home(self) -> Path:
        """The home of its login, as this machine sees it."""
        return self.disk / "home" / LOGIN

    @property
    def log(self) -> Path:
        """What its start and its ssh server wrote."""
        return self.folder / "boot.log"


@dataclass(frozen=True, slots=True)
class Lab:
    """An emulated cluster: hosts on one switch, and the controller's own link to it.

    `subnet` is its first three numbers, as in `10.77.0`; `holder` the process that keeps the
    namespaces of a lab at the level USER.
    """

    name: str
    level: Level
    folder: Path
    subnet: str
    hosts: tuple[LabHost, ...]
    gateway: Shape
    bare: bool
    holder: Process | None = None

    def host(self, name: str) -> LabHost:
        """Return the host of this name.

        Raises:
            LabError: There is none.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        known = f"{self.hosts[0].name} to {self.hosts[-1].name}" if self.hosts else "none"
        raise LabError(f"the lab {self.name} has no host {name!r}", remedy=f"its hosts are {known}")

    @property
    def switch(self) -> str:
        """The network namespace in which the hosts' links meet."""
        return f"{self.name}-switch"

    @property
    def controller_link(self) -> str:
        """The interface by which this machine is on the lab's network."""
        return f"{self.name}-ctl"

    @property
    def controller_address(self) -> str:
        """This machine's address on the lab's network."""
        return "127.0.0.1" if self.level is Level.PLAIN else f"{self.subnet}.254"

    @property
    def login(self) -> str:
        """The user as whom one logs in."""
        return getpass.getuser() if self.level is Level.PLAIN else LOGIN

    @property
    def ssh_port(self) -> int:
        """The port of every host's ssh server."""
        return PLAIN_SSH_PORT if self.level is Level.PLAIN else 22

    def netns(self, host: str) -> str:
        """Return the name of a host's network namespace."""
        return f"{self.name}-{host}"


def checked_name(name: str) -> str:
    """Return the name of a lab.

    Raises:
        UsageError: The kernel's names could not be made of it.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be the name of a lab",
            remedy="take a letter and up to ten more letters and digits, all lower case",
        )
    return name


def save_lab(lab: Lab) -> None:
    """Write `lab.json`, whole or not at all."""
    with replacing(lab.folder / LAB_FILE) as path:
        path.write_text(to_text(lab), encoding="utf-8")


def load_lab(folder: Path) -> Lab:
    """Read the lab of a folder.

    Raises:
        LabError: There is none, or it can't be read.
    """
    path = folder / LAB_FILE
    if not path.is_file():
        raise LabError(
            "there is no lab here",
            where=str(folder),
            remedy="make one with `edgesplit lab up`, or name its folder with --folder",
        )
    return parse_lab(path.read_text(encoding="utf-8"), where=str(path))


def to_text(lab: Lab) -> str:
    """Return a lab as `lab.json` has it."""
    return json.dumps(asdict(lab), indent=1, default=str) + "\n"


def parse_lab(text: str, where: str) -> Lab:
    """Return the lab that `to_text` wrote.

    Raises:
        LabError: It is damaged.
    """
    try:
        return _lab(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise LabError(
            f"the lab's description is damaged ({error})",
            where=where,
            remedy="take it down by its name: edgesplit lab down --name NAME",
        ) from error


def _lab(plain: dict[str, Any]) -> Lab:
    holder = plain["holder"]
    return Lab(
        **plain
        | {
            "level": Level(plain["level"]),
            "folder": Path(plain["folder"]),
            "hosts": tuple(_host(host) for host in plain["hosts"]),
            "gateway": Shape(**plain["gateway"]),
            "holder": None if holder is None else Process(**holder),
        }
    )


def _host(plain: dict[str, Any]) -> LabHost:
    made = {"shape": Shape(**plain["shape"]), "folder": Path(plain["folder"])}
    return LabHost(**plain | made)
