"""Content-addressed blobs on a device: files named `<sha256>.<suffix>` in one folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

PARTIAL = ".part"
"""What an upload's name ends in until its bytes have been checked."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def adopt(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Hash blobs again, uploaded or present, and return the names of the bad ones.

    A sound upload is synced and takes its name by one rename; bytes that don't match their name
    are deleted, so that the next upload begins afresh. A missing blob is a bad one.
    """
    bad = tuple(name for name in names if not _sound(folder, name))
    sync_folder(folder)
    return bad


def missing(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are not there under their final name."""
    return tuple(name for name in names if not (folder / name).is_file())


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_synced(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file that is wholly old or wholly new whenever the power goes."""
    partial = path.with_name(f".{path.name}{PARTIAL}")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)
    partial.replace(path)
    sync_folder(path.parent)


def replace_link(link: Path, target: Path) -> None:
    """Point a symbolic link, relative to its folder, at something else by one synced rename."""
    partial = link.with_name(f".{link.name}{PARTIAL}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(os.path.relpath(target, link.parent))
    partial.replace(link)
    sync_folder(link.parent)


def replace_volatile(path: Path, text: str) -> None:
    """Write a file that readers see wholly old or wholly new; a power cut may take it."""
    partial = path.with_name(f".{path.name}{PARTIAL}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, that a power cut doesn't take back."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_folder(folder.parent)


def _sound(folder: Path, name: str) -> bool:
    path, partial = folder / name, folder / f"{name}{PARTIAL}"
    source = partial if partial.is_file() else path
    if not source.is_file():
        return False
    if file_digest(source) != name.partition(".")[0]:
        source.unlink()
        return False
    if source is partial:
        _sync_file(partial)
        partial.replace(path)
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
