"""The files that a user starts from."""

from __future__ import annotations

import os
from pathlib import Path

from edgesplit.errors import UsageError
from edgesplit.files import replacing, template

_NAMES = ("cluster.yaml", "model.yaml")


def write_starter(folder: Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write the commented cluster file and model file into a folder, made where it is missing.

    Raises:
        UsageError: One of the files is there already and `force` is not given, or the folder
            can't be written. Nothing is overwritten then.
    """
    cluster, model = (folder / name for name in _NAMES)
    _check_absent((cluster, model), force=force)
    for path in (cluster, model):
        _write(path, template(path.name))
    return cluster, model


def _check_absent(paths: tuple[Path, ...], *, force: bool) -> None:
    there = [path.name for path in paths if os.path.lexists(path)]
    if there and not force:
        raise UsageError(
            f"{' and '.join(there)} would be overwritten",
            where=str(paths[0].parent),
            remedy="name another folder, or give --force to replace what is there",
        )


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(data)
    except OSError as error:
        remedy = "name a folder that you may write to"
        what = f"can't be written: {error.strerror}"
        raise UsageError(what, where=str(path), remedy=remedy) from error
