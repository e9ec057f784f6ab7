"""Making room: what no running release, the current one or the one before it needs is deleted."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.keys import current_key_file, key_file
from edgesplit.runtime.release import Manifest, before, current, facts, load
from edgesplit.runtime.root import Root, Slot
from edgesplit.runtime.state import read_state


def prune(root: Root) -> dict[str, object]:
    """Delete releases, blobs, environments and keys that nothing here needs; count the bytes.

    Raises:
        RuntimeFault: A release in use can't be read, so what it needs isn't known; nothing was
            deleted.
    """
    kept = _kept(root)
    doomed = list(_doomed(root, kept))
    freed = sum(map(_size, doomed))
    for slot in root.slots:
        if slot.release not in kept:
            slot.link.unlink(missing_ok=True)
    for path in doomed:
        _delete(path)
    return {"freed": freed}


def purge(root: Root) -> None:
    """Delete what edgesplit made under its folder; a folder without its mark is left alone."""
    if not root.mark.exists():
        return
    root.current.unlink(missing_ok=True)
    slots = root.folder / "slots"
    for path in (slots, root.releases, root.blobs, root.keys, root.venvs, root.profile):
        _delete(path)
    for path in (root.checked, root.lock, root.lock_guard, root.mark):
        path.unlink(missing_ok=True)
    if not any(root.folder.iterdir()):
        root.folder.rmdir()


def _kept(root: Root) -> dict[str, Manifest]:
    """Return the manifests of the releases to keep, by digest."""
    digest = current(root)
    needed = {digest, *(slot.release for slot in root.slots if _live(slot))} - {None}
    kept = {name: load(root, name) for name in needed if name}
    if digest is not None and (earlier := before(root, digest)):
        with suppress(RuntimeFault):  # Too damaged to return to, so there is nothing to keep.
            kept[earlier] = load(root, earlier)
    return kept


def _live(slot: Slot) -> bool:
    state = read_state(slot)
    processes = (state.supervisor, state.executor) if state else ()
    return any(process is not None and process.alive for process in processes)


def _doomed(root: Root, kept: dict[str, Manifest]) -> Iterator[Path]:
    manifests = kept.values()
    yield from _others(root.releases, kept)
    # The code that runs this very verb is needed by the next one too.
    running = (PurePath(entry).name for entry in sys.path)
    yield from _others(root.blobs, (*running, *(n for m in manifests for n in m.names)))
    used = {part for m in manifests for part in PurePath(m.python).parts}
    yield from _others(root.venvs, (*used, *PurePath(sys.executable).parts))
    own = (key_file(root, facts(root, digest).get("key", "")) for digest in kept)
    keys = ("current", current_key_file(root).name, *(path.name for path in own))
    yield from _others(root.keys, keys)


def _others(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return what is in a folder under other names."""
    keep = frozenset(names)
    return [path for path in folder.iterdir() if path.name not in keep] if folder.is_dir() else []


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else (path,)
    return sum(file.lstat().st_size for file in files if file.is_symlink() or file.is_file())


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
