"""What a power cut would leave: file operations as they happen, and which of them are synced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Observer = Callable[["Disk", str, Path], None]


class PowerCut(BaseException):
    """The operation that was to come never happened."""


@dataclass
class Disk:
    """Which contents and names are certain to survive.

    A file's content survives once the file was synced, its name once its folder was synced after
    it got that name. `operations` are the ones done so far.
    """

    contents: set[Path] = field(default_factory=set)
    names: set[Path] = field(default_factory=set)
    pending: set[Path] = field(default_factory=set)
    operations: int = 0

    def survives(self, path: Path, top: Path) -> bool:
        """Tell whether a file or folder below `top` is certain to be there, and whole."""
        whole = path.is_dir() or path in self.contents
        return whole and all(p in self.names for p in (path, *path.parents) if top in p.parents)

    def synced(self, path: Path) -> None:
        if path.is_dir():
            settled = {p for p in self.pending if p.parent == path}
            self.names |= settled
            self.pending -= settled
        else:
            self.contents.add(path)

    def named(self, source: Path | None, target: Path) -> None:
        if source in self.contents:
            self.contents.remove(source)
            self.contents.add(target)
        else:
            self.contents.discard(target)
        self.pending.add(target)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch, before: Observer = lambda *_: None) -> Iterator[Disk]:
    """Yield the disk; `before` sees every sync, rename, link and new folder before it is done."""
    disk = Disk()
    real = {name: getattr(os, name) for name in ("fsync", "replace", "symlink", "mkdir")}

    def step(name: str, path: Path) -> None:
        before(disk, name, path)
        disk.operations += 1

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").resolve()
        step("fsync", path)
        real["fsync"](handle)
        disk.synced(path)

    def replace(source: Path, target: Path) -> None:
        step("replace", Path(target))
        real["replace"](source, target)
        disk.named(Path(source), Path(target))

    def symlink(source: str, target: Path, *more: object) -> None:
        step("symlink", Path(target))
        real["symlink"](source, target, *more)
        disk.contents.add(Path(target))  # A link's content is written with its name.

    def mkdir(path: Path, mode: int = 0o777) -> None:
        step("mkdir", Path(path))
        real["mkdir"](path, mode)
        disk.named(None, Path(path))

    with monkeypatch.context() as patched:
        for wrapper in (fsync, replace, symlink, mkdir):
            patched.setattr(os, wrapper.__name__, wrapper)
        yield disk


def cut_at(number: int) -> Observer:
    """Return an observer that ends everything before the operation of this number."""

    def observe(disk: Disk, _: str, __: Path) -> None:
        if disk.operations == number:
            raise PowerCut

    return observe
