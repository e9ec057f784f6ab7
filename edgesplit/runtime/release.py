"""The releases on a device: written once, beside each other, and one of them current.

A release is a program, the code that runs it and the blobs it needs, listed in a manifest whose
SHA-256 names the release. Which one is current is one symbolic link, so that changing it is one
rename; every file is synced before that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import (
    make_folder,
    missing,
    replace_link,
    replace_synced,
    sync_folder,
)
from edgesplit.runtime.program import Program
from edgesplit.runtime.root import Root

_REDEPLOY = "deploy again"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a release is made of.

    `program` is the SHA-256 of `program.json`, `code` the digest of the blob `<code>.zip` that
    interprets it, `python` the interpreter, `blobs` the names of all other blobs needed.
    """

    program: str
    code: str
    python: str
    blobs: tuple[str, ...]

    @classmethod
    def of(cls, data: Mapping[str, object]) -> Manifest:
        """Read the plain form of a manifest.

        Raises:
            ValueError: It is none.
        """
        try:
            program, code, python, blobs = (data[k] for k in ("program", "code", "python", "blobs"))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error
        if not isinstance(blobs, list | tuple):
            raise ValueError(f"not a manifest: blobs is {blobs!r}")  # noqa: TRY004 - as promised
        return cls(str(program), str(code), str(python), tuple(map(str, blobs)))

    def to_json(self) -> str:
        """Return canonical JSON text."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @property
    def digest(self) -> str:
        """The release's name: SHA-256 of the manifest's JSON text, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """All blobs, the code included."""
        return (f"{self.code}.zip", *self.blobs)


@dataclass(frozen=True, slots=True)
class Watch:
    """How an executor sees whether its release is the device's current one.

    Args:
        root: The device's folder.
        release: The executor's own release.
        epoch: Its epoch.
    """

    root: Root
    release: str
    epoch: int
    _epochs: dict[str, int] = field(default_factory=dict, repr=False)

    def successor(self) -> int | None:
        """Return the epoch of the current release if that one follows ours, else None."""
        epoch = self._current_epoch()
        return epoch if epoch > self.epoch else None

    def superseded(self) -> bool:
        """Tell whether a later release than ours is current."""
        return self.successor() is not None

    def candidate(self) -> bool:
        """Tell whether ours is still to become current: there is none yet, or an earlier one."""
        return self._current_epoch() < self.epoch

    def record(self) -> bytes:
        """Return the deployment record that came with the current release, empty without one."""
        with suppress(FileNotFoundError):
            return (self.root.current / "record.json").read_bytes()
        return b""

    def _current_epoch(self) -> int:
        """Return the epoch of what is current, 0 where nothing is; releases don't change."""
        digest = current(self.root)
        if digest is None:
            return 0
        if digest not in self._epochs:
            self._epochs[digest] = epoch_of(self.root, digest)
        return self._epochs[digest]


def stage(
    root: Root, manifest: Mapping[str, object], program: str, record: str = "", before: str = ""
) -> str:
    """Write a release beside the others and return its digest; what is current stays so.

    Raises:
        RuntimeFault: The manifest is none, or not of this program.
    """
    try:
        read = Manifest.of(manifest)
    except ValueError as error:
        raise RuntimeFault(str(error), remedy=_REDEPLOY) from error
    if hashlib.sha256(program.encode()).hexdigest() != read.program:
        raise RuntimeFault("the manifest is of another program", remedy=_REDEPLOY)
    folder = root.release(read.digest)
    make_folder(folder)
    texts = {"program.json": program, "record.json": record, "before": before}
    for name, text in {**texts, "manifest.json": read.to_json()}.items():
        replace_synced(folder / name, text.encode())
    return read.digest


def commit(root: Root, digest: str) -> str | None:
    """Make a complete release the current one by one rename; return the one before, if any.

    Raises:
        RuntimeFault: The release is not there, or not whole; what was current stays so.
    """
    check_whole(root, digest)
    before = current(root)
    replace_link(root.current, root.release(digest))
    return before


def retire(root: Root) -> None:
    """Leave no release current; the releases stay."""
    root.current.unlink(missing_ok=True)
    sync_folder(root.folder)


def current(root: Root) -> str | None:
    """Return the digest of the current release, None before the first."""
    return root.current.readlink().name if root.current.is_symlink() else None


def current_release(root: Root) -> str:
    """Return the digest of the current release.

    Raises:
        RuntimeFault: There is none.
    """
    digest = current(root)
    if digest is None:
        raise RuntimeFault("no release is active here", remedy="deploy first")
    return digest


def before(root: Root, digest: str) -> str:
    """Return the digest of the release that one replaced, empty if it was the first."""
    return _text(root.release(digest) / "before")


def load(root: Root, digest: str) -> Manifest:
    """Read a release's manifest.

    Raises:
        RuntimeFault: There is none, or it or the program don't match their digests.
    """
    folder = root.release(digest)
    try:
        manifest = Manifest.of(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
        program = (folder / "program.json").read_bytes()
    except (FileNotFoundError, ValueError) as error:
        raise RuntimeFault(
            f"there is no release {digest[:12]} ({error})", remedy=_REDEPLOY
        ) from error
    if manifest.digest != digest or hashlib.sha256(program).hexdigest() != manifest.program:
        raise RuntimeFault(f"release {digest[:12]} is damaged", remedy=_REDEPLOY)
    return manifest


def check_whole(root: Root, digest: str) -> Manifest:
    """Return a release's manifest if all that it lists is on the device.

    Raises:
        RuntimeFault: The release is missing or damaged, or lacks blobs.
    """
    manifest = load(root, digest)
    if gone := missing(root.blobs, manifest.names):
        raise RuntimeFault(
            f"release {digest[:12]} lacks {len(gone)} blobs, {gone[0]} first", remedy=_REDEPLOY
        )
    return manifest


def load_program(root: Root, digest: str) -> Program:
    """Read a release's program.

    Raises:
        RuntimeFault: The release is missing or damaged, or its program can't be read.
    """
    load(root, digest)
    try:
        return Program.from_json((root.release(digest) / "program.json").read_text("utf-8"))
    except ValueError as error:
        raise RuntimeFault(
            f"the program of release {digest[:12]} can't be read: {error}", remedy=_REDEPLOY
        ) from error


def describe(root: Root, digest: str) -> dict[str, object]:
    """Return a release in the form in which it was staged.

    Raises:
        RuntimeFault: It is missing or damaged.
    """
    manifest, folder = load(root, digest), root.release(digest)
    return {
        "manifest": asdict(manifest),
        "program": _text(folder / "program.json"),
        "record": _text(folder / "record.json"),
        "before": before(root, digest),
    }


def facts(root: Root, digest: str) -> Mapping[str, Any]:
    """Return a release's program as plain data, empty where it can't be read.

    For what every version of a program has: its epoch, cluster, device and key.
    """
    with suppress(OSError, ValueError):
        data = json.loads((root.release(digest) / "program.json").read_text(encoding="utf-8"))
        return data if isinstance(data, dict) else {}
    return {}


def epoch_of(root: Root, digest: str) -> int:
    """Return the epoch of a release, 0 where it can't be read."""
    return int(facts(root, digest).get("epoch", 0))


def highest_epoch(root: Root) -> int:
    """Return the highest epoch of any release here, 0 without one."""
    if not root.releases.is_dir():
        return 0
    return max((epoch_of(root, folder.name) for folder in root.releases.iterdir()), default=0)


def _text(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8")
    return ""
