"""Taking a lab down: nothing of it stays, whatever state it is in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from edgesplit.errors import LabError
from edgesplit.lab import census
from edgesplit.lab.bed import HOSTS, LAB_FILE, Lab, Level, Shape, checked_name, load_lab
from edgesplit.lab.cgroups import Groups
from edgesplit.lab.cluster import FILES
from edgesplit.lab.network import remove_network
from edgesplit.lab.registry import Entry, entries, forget, held
from edgesplit.runtime.processes import Process


def take_down(folder: Path | None, name: str | None) -> str | None:
    """Take a lab down, by its folder or by its name; return its name, None where there is none.

    It works for a lab whose `lab up` was killed, and may be repeated.

    Raises:
        LabError: It is somebody else's, or a part of it can't be removed.
    """
    entry = _find(folder, name)
    if entry is None:
        return None
    with held(entry.folder):
        remove(entry)
    return entry.name


def remove(entry: Entry) -> None:
    """Remove all that a lab has, known to its `lab.json` or not; the caller holds its folder."""
    lab = _as_known(entry)
    census.end(lambda: _workers(lab))
    if lab.level is Level.ROOT:
        Groups.of(lab).remove()
        remove_network(lab)
    _remove_files(entry.folder)
    forget(entry.name)


def _find(folder: Path | None, name: str | None) -> Entry | None:
    if name is not None:
        return entries().get(checked_name(name))
    place = (folder or Path("lab")).absolute()
    for entry in entries().values():
        if entry.folder == place:
            return entry
    return _of_file(place) if (place / LAB_FILE).is_file() else None


def _of_file(folder: Path) -> Entry:
    """Return the lab that a folder says it has, of another user or of before the last boot."""
    lab = load_lab(folder)
    hosts = folder / HOSTS
    if hosts.is_dir() and hosts.stat().st_uid != os.geteuid():
        raise LabError(
            "this lab is another user's", where=str(folder), remedy="take it down with sudo"
        )
    return Entry(lab.name, lab.level, folder, lab.subnet)


def _workers(lab: Lab) -> Collection[Process]:
    """Return who works for a lab; of hosts without namespaces first who descends from others.

    Those adopt orphans. Killed together with the others they might have started one more, or left
    one to nobody, and an ssh server's environment tells nothing: it writes over it.
    """
    if lab.level is Level.PLAIN:
        firsts = census.bearing(census.marks(lab), census.INIT)
        for first in firsts:
            census.stop(first)
        below = {each for first in firsts for each in census.descendants(first)}
        if any(each.alive for each in below):
            return below
    return census.bearing(census.marks(lab))


def _as_known(entry: Entry) -> Lab:
    """Return the lab as its file has it; without a file, one that has a name alone."""
    with suppress(LabError):
        return load_lab(entry.folder)
    nothing = Shape(rate=0.0)
    return Lab(entry.name, entry.level, entry.folder, entry.subnet, (), nothing, bare=False)


def _remove_files(folder: Path) -> None:
    if (folder / HOSTS).is_dir():
        shutil.rmtree(folder / HOSTS)
    for name in FILES:
        for path in (*folder.glob(f".{name}.*.part"), folder / name):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # The user's own files may be there too.
        folder.rmdir()
