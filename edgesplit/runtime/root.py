"""Where things lie in the folder that edgesplit owns on a device."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgesplit.runtime.program import SLOTS


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the places on a device in which a release's executor can run."""

    folder: Path

    @property
    def number(self) -> int:
        """0 or 1: the epochs that run here are congruent to it."""
        return int(self.folder.name)

    @property
    def link(self) -> Path:
        """The link to the release that runs, or ran last, here."""
        return self.folder / "release"

    @property
    def release(self) -> str | None:
        """The digest of that release, None before the first."""
        return self.link.readlink().name if self.link.is_symlink() else None

    @property
    def state(self) -> Path:
        """What the supervisor last said of itself."""
        return self.folder / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor of this slot as long as it lives."""
        return self.folder / "lock"

    @property
    def hold(self) -> Path:
        """While this file is there, a dead executor stays dead."""
        return self.folder / "hold"

    @property
    def boot(self) -> Path:
        """The boot in which somebody last asked for this slot to run."""
        return self.folder / "boot"

    @property
    def unit(self) -> Path:
        """The name of the systemd unit that runs this slot, where one does."""
        return self.folder / "unit"

    @property
    def log(self) -> Path:
        """What the executor and its supervisor said."""
        return self.folder / "executor.log"


@dataclass(frozen=True, slots=True)
class Root:
    """The folder itself; everything in it is edgesplit's to write and to delete."""

    folder: Path

    @property
    def mark(self) -> Path:
        """The file that says that this folder is edgesplit's."""
        return self.folder / ".edgesplit"

    @property
    def blobs(self) -> Path:
        """Content-addressed blobs."""
        return self.folder / "blobs"

    @property
    def keys(self) -> Path:
        """The device's private CURVE keys."""
        return self.folder / "keys"

    @property
    def releases(self) -> Path:
        """One folder for each release, named by its digest."""
        return self.folder / "releases"

    @property
    def current(self) -> Path:
        """The link to the release that a boot starts."""
        return self.folder / "current"

    @property
    def venvs(self) -> Path:
        """Provisioned Python environments."""
        return self.folder / "venvs"

    @property
    def profile(self) -> Path:
        """What is being timed, while `profile` runs."""
        return self.folder / "profile"

    @property
    def lock(self) -> Path:
        """Who may change the cluster."""
        return self.folder / "lock.json"

    @property
    def lock_guard(self) -> Path:
        """Locked while `lock` is read and written."""
        return self.folder / ".lock"

    @property
    def checked(self) -> Path:
        """What the last thorough look at this device found."""
        return self.folder / "checked.json"

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All places in which an executor can run."""
        return tuple(self.slot(number) for number in range(SLOTS))

    def slot(self, number: int) -> Slot:
        """Return one of them."""
        return Slot(self.folder / "slots" / str(number))

    def release(self, digest: str) -> Path:
        """Return the folder of a release."""
        return self.releases / digest

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Wait until no other verb changes this folder, and keep others from it meanwhile."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
