"""Paths as a file writes them: relative to the file, or below the home folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def on_this_machine(text: str, folder: Path) -> Path:
    """Return the absolute path of what a file in `folder` calls `text`; `~` is the home folder."""
    path = Path(text)
    with suppress(RuntimeError):  # No such user: the text then names what it says.
        path = path.expanduser()
    return Path(os.path.normpath(folder.absolute() / path))


def from_folder(path: Path, folder: Path) -> str:
    """Return the text by which a file in `folder` calls a path of this machine."""
    text = os.path.relpath(path, folder.absolute())
    return f"./{text}" if text.startswith(("~", "zoo:")) else text


def from_home(path: str) -> str:
    """Return a path of this machine with the home folder as `~`, so that others can use it."""
    # Neither a missing home folder nor a path outside it is an error.
    with suppress(RuntimeError, ValueError):
        return f"~/{Path(path).relative_to(Path('~').expanduser())}"
    return path
