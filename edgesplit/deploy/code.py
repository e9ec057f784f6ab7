"""The device side of edgesplit as one blob: a zip that Python imports from, the same everywhere."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_PARTS = ("dataflow", "runtime")
# The earliest time that a zip can hold; the real ones would change the digest.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Code:
    """The zip's bytes; stored, not deflated, so that they don't depend on a compressor."""

    content: bytes

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the zip, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def name(self) -> str:
        """The blob's name."""
        return f"{self.digest}.zip"


def device_code() -> Code:
    """Pack what a device needs of this installation of edgesplit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in _sources():
            name = path.relative_to(_PACKAGE.parent).as_posix()
            archive.writestr(zipfile.ZipInfo(name, _TIME), path.read_bytes())
    return Code(buffer.getvalue())


def _sources() -> Iterator[Path]:
    yield from (_PACKAGE / "__init__.py", _PACKAGE / "errors.py")
    for part in _PARTS:
        yield from sorted((_PACKAGE / part).rglob("*.py"))
