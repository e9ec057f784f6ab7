"""Which labs this machine has: each name once, and a network of its own for each."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edgesplit.errors import LabError
from edgesplit.files import replacing
from edgesplit.lab.bed import PLAIN_SSH_PORT, Level

_SYSTEM = Path("/run/edgesplit-labs")
_LOCK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A lab that is up, or was when its `lab up` was killed."""

    name: str
    level: Level
    folder: Path
    subnet: str


def register(name: str, level: Level, folder: Path) -> Entry:
    """Take a name and a free network for a lab.

    Raises:
        LabError: The name is taken, or all networks are.
    """
    with _locked():
        others = entries()
        if (taken := others.get(name)) is not None:
            raise LabError(
                f"a lab named {name} is up already, in {taken.folder}",
                remedy=f"take it down with `edgesplit lab down --folder {taken.folder}`, "
                "or give this one another --name",
            )
        entry = Entry(name, level, folder, _free_subnet(level, others))
        with replacing(_file(name)) as path:
            path.write_text(json.dumps(asdict(entry), default=str), encoding="utf-8")
        return entry


def entries() -> dict[str, Entry]:
    """Return this user's labs by name."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in _home().glob("*.json"))
    known = (Entry(**e | {"level": Level(e["level"]), "folder": Path(e["folder"])}) for e in found)
    return {entry.name: entry for entry in known}


def forget(name: str) -> None:
    """Give a lab's name and network back."""
    if not _home().is_dir():
        return
    with _locked():
        _file(name).unlink(missing_ok=True)
        with suppress(OSError):  # Other labs are there.
            _home().rmdir()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a lab's folder from every other `up` and `down` meanwhile; it is made where missing.

    Raises:
        LabError: Another one is at it.
    """
    ours = not folder.exists()
    handle = _open_folder(folder)
    try:
        _lock(handle, folder)
        try:
            yield
        finally:
            _remove_if(folder, made=ours)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    """Lock a folder; a child of a command that was killed may hold it for a moment more."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.monotonic() > deadline:
            raise LabError(
                "another command is making this lab or taking it down",
                where=str(folder),
                remedy="wait until it has ended",
            )
        time.sleep(0.01)


@contextmanager
def _locked() -> Iterator[None]:
    while True:
        handle = _open_folder(_home())
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(handle, _home()):  # Else its last lab went while we waited.
                yield
                return
        finally:
            os.close(handle)


def _remove_if(folder: Path, *, made: bool) -> None:
    """Remove a folder that was made for nothing."""
    if made:
        with suppress(OSError):  # Something is in it, or it went already.
            folder.rmdir()


def _is_still(handle: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False


def _open_folder(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _home() -> Path:
    if os.geteuid() == 0:
        return _SYSTEM
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own or tempfile.gettempdir()) / f"edgesplit-labs-{os.getuid()}"


def _file(name: str) -> Path:
    return _home() / f"{name}.json"


def _free_subnet(level: Level, others: dict[str, Entry]) -> str:
    if level is Level.USER:
        return "10.77.0"  # Nobody else sees it.
    taken = {entry.subnet for entry in others.values()}
    first = "127.77" if level is Level.PLAIN else "10.77"
    is_free = _nobody_listens if level is Level.PLAIN else _no_route
    for third in range(256):
        subnet = f"{first}.{third}"
        if subnet not in taken and is_free(subnet):
            return subnet
    raise LabError(
        f"all networks {first}.0.0 to {first}.255.0 are in use", remedy="take a lab down"
    )


def _nobody_listens(subnet: str) -> bool:
    try:
        with socket.create_server((f"{subnet}.1", PLAIN_SSH_PORT)):
            return True
    except OSError:
        return False


def _no_route(subnet: str) -> bool:
    routes = subprocess.run(
        ["ip", "-4", "route", "show", "table", "all"], check=True, capture_output=True, text=True
    )
    return f"{subnet}." not in routes.stdout
