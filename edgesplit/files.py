"""Files that are whole or not there, and those that edgesplit brings along."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to; it takes the place of `path` if the body succeeds.

    What was there stays until then, and where the body fails nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def template(name: str) -> bytes:
    """Return a template's content, from the wheel or from the source checkout."""
    packaged = Path(str(resources.files("edgesplit"))) / "templates"
    folder = packaged if packaged.is_dir() else packaged.parents[1] / "templates"
    return (folder / name).read_bytes()
