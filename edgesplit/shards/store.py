"""The content-addressed store: blobs named by the SHA-256 of their bytes, in one flat folder."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesplit.errors import ShardError

_CHUNK = 1 << 20
# Executors may run as another user than the one who built the shards.
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of blobs `<sha256><suffix>`, with small memos beside them in `memo/`.

    The blobs of one shard lie side by side, so that any copy of them into one folder works.
    """

    folder: Path

    def path(self, digest: str, suffix: str) -> Path:
        """Return where the blob of this digest lies, there or not."""
        return self.folder / f"{digest}{suffix}"

    def put(self, chunks: Iterable[bytes | memoryview], suffix: str) -> str:
        """Write a blob and return its digest; nothing is left behind when the chunks fail."""
        hasher = hashlib.sha256()
        with _replacing(self.folder) as (temporary, name):
            with temporary.open("wb") as file:
                for chunk in chunks:
                    hasher.update(chunk)
                    file.write(chunk)
            name.append(f"{hasher.hexdigest()}{suffix}")
        return hasher.hexdigest()

    def holds(self, name: str, size: int) -> bool:
        """Tell whether a blob of this file name and size in bytes is there."""
        path = self.folder / name
        return path.is_file() and path.stat().st_size == size

    def check(self, name: str) -> None:
        """Hash a blob again.

        Raises:
            ShardError: The blob is missing or its bytes don't match its name.
        """
        path = self.folder / name
        if not path.is_file():
            raise ShardError(f"blob {name} is missing", where=str(self.folder), remedy=_REBUILD)
        hasher = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
        if hasher.hexdigest() != path.name.partition(".")[0]:
            raise ShardError(f"blob {name} is damaged", where=str(path), remedy=_REBUILD)

    def recall(self, kind: str, *key: object) -> Any | None:  # noqa: ANN401 - any JSON value
        """Return the memo of this key, or None where there is none that can be read."""
        path = self._memo(kind, key)
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def remember(self, kind: str, *key: object, value: Mapping[str, object]) -> None:
        """Keep a memo: a JSON object that a key of reprs determines."""
        path = self._memo(kind, key)
        with _replacing(path.parent) as (temporary, name):
            temporary.write_text(json.dumps(value, sort_keys=True, indent=1))
            name.append(path.name)

    def _memo(self, kind: str, key: tuple[object, ...]) -> Path:
        return self.folder / "memo" / f"{hashlib.sha256(repr(key).encode()).hexdigest()}.{kind}"


_REBUILD = "delete it and build the shards again"


@contextmanager
def _replacing(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a temporary path and a list that takes its final name; rename at the end, or remove."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, text = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    os.close(handle)
    temporary, name = Path(text), list[str]()
    try:
        yield temporary, name
        temporary.chmod(_MODE)
        temporary.replace(folder / name[0])
    finally:
        temporary.unlink(missing_ok=True)
