"""The folder edgesplit owns on a device, and the releases in it.

A release is a program, the code that runs it and the blobs it needs, listed in a manifest whose
SHA-256 names the release. Releases are written once; which one is current is one symbolic link.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import missing, replace_synced, sync_folder
from edgesplit.runtime.program import Program

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
class Root:
    """Where things lie under edgesplit's folder on one device."""

    folder: Path

    @property
    def mark(self) -> Path:
        """The file that says that this folder is edgesplit's to write in and to delete."""
        return self.folder / ".edgesplit"

    @property
    def blobs(self) -> Path:
        """Content-addressed blobs."""
        return self.folder / "blobs"

    @property
    def run(self) -> Path:
        """State, log and hold mark of the supervisor."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        """What the executor and its supervisor said."""
        return self.run / "executor.log"

    @property
    def secret(self) -> Path:
        """The device's private CURVE key."""
        return self.folder / "keys" / "curve.secret"

    @property
    def hold(self) -> Path:
        """While this file is there, a dead executor stays dead."""
        return self.run / "hold"

    @property
    def current(self) -> Path:
        """The link to the active release."""
        return self.folder / "current"

    def release(self, digest: str) -> Path:
        """Return the folder of a release."""
        return self.folder / "releases" / digest


def stage(root: Root, manifest: Mapping[str, object], program: str) -> str:
    """Write a release beside the others and return its digest; what is current stays so."""
    read = _manifest(manifest)
    folder = root.release(read.digest)
    folder.mkdir(parents=True, exist_ok=True)
    replace_synced(folder / "program.json", program.encode())
    replace_synced(folder / "manifest.json", read.to_json().encode())
    sync_folder(folder.parent)
    return read.digest


def activate(root: Root, digest: str) -> str | None:
    """Make a complete release the current one by one rename; return the one before, if any.

    Raises:
        RuntimeFault: The release is not there, or not whole; what was current stays so.
    """
    manifest = load(root, digest)
    if gone := missing(root.blobs, manifest.names):
        raise RuntimeFault(
            f"release {digest[:12]} lacks {len(gone)} blobs, {gone[0]} first", remedy=_REDEPLOY
        )
    before = current(root)
    link = root.folder / ".current.part"
    link.unlink(missing_ok=True)
    link.symlink_to(root.release(digest).relative_to(root.folder), target_is_directory=True)
    link.replace(root.current)
    sync_folder(root.folder)
    return before


def current(root: Root) -> str | None:
    """Return the digest of the active release, None before the first."""
    return root.current.readlink().name if root.current.is_symlink() else None


def load(root: Root, digest: str) -> Manifest:
    """Read a release's manifest.

    Raises:
        RuntimeFault: There is none, or it or the program don't match their digests.
    """
    folder = root.release(digest)
    try:
        manifest = _manifest(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
        text = (folder / "program.json").read_bytes()
    except (FileNotFoundError, ValueError) as error:
        raise RuntimeFault(
            f"there is no release {digest[:12]} ({error})", remedy=_REDEPLOY
        ) from error
    if manifest.digest != digest or hashlib.sha256(text).hexdigest() != manifest.program:
        raise RuntimeFault(f"release {digest[:12]} is damaged", remedy=_REDEPLOY)
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


def purge(root: Root) -> None:
    """Delete what edgesplit made under its folder; a folder without its mark is left alone."""
    if not root.mark.exists():
        return
    root.current.unlink(missing_ok=True)
    for folder in (root.run, root.folder / "releases", root.blobs, root.secret.parent):
        if folder.is_dir():
            shutil.rmtree(folder)
    root.mark.unlink()
    if not any(root.folder.iterdir()):
        root.folder.rmdir()


def _manifest(data: Mapping[str, object]) -> Manifest:
    try:
        program, code, python, blobs = (data[k] for k in ("program", "code", "python", "blobs"))
    except KeyError as error:
        raise ValueError(f"not a manifest: {error!r}") from error
    if not isinstance(blobs, list | tuple):
        raise TypeError(f"not a manifest: blobs is {blobs!r}")
    return Manifest(str(program), str(code), str(python), tuple(map(str, blobs)))
