"""Where this machine has its cgroups: version 1, version 2, or some of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller: the folder of its root group, and its version."""

    mount: Path
    version: Literal[1, 2]


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """The controllers that a lab uses, None where there is none.

    `freezer` is the unified hierarchy itself where it is mounted, which can stop and kill groups
    even if all its controllers belong to version 1.
    """

    memory: Controller | None
    cpu: Controller | None
    freezer: Controller | None

    @property
    def mounts(self) -> tuple[Path, ...]:
        """The folders of the root groups, each once."""
        there = [c.mount for c in (self.freezer, self.memory, self.cpu) if c is not None]
        return tuple(dict.fromkeys(there))


def find_hierarchies(mounts: Path = _MOUNTS) -> Hierarchies:
    """Return where the cgroups of this machine are, read from a file like /proc/self/mounts."""
    found = dict(_controllers(mounts.read_text(encoding="utf-8")))
    return Hierarchies(
        memory=found.get("memory"),
        cpu=found.get("cpu"),
        freezer=found.get("unified") or found.get("freezer"),
    )


def _controllers(mounts: str) -> Iterator[tuple[str, Controller]]:
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        mount = Path(place.encode().decode("unicode_escape"))
        if kind == "cgroup":
            yield from ((option, Controller(mount, 1)) for option in options.split(","))
        elif kind == "cgroup2":
            names = (mount / "cgroup.controllers").read_text(encoding="utf-8").split()
            yield from ((name, Controller(mount, 2)) for name in ("unified", *names))
