"""Many small blobs at once: a tar stream, of which each member becomes an unfinished upload."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import PARTIAL

_NAME = re.compile(r"[0-9a-f]{64}\.[a-z.]+")


def unpack(folder: Path, source: IO[bytes]) -> Mapping[str, object]:
    """Write a tar stream's files beside the blobs, as `<name>.part`; return how many there were.

    Raises:
        RuntimeFault: It isn't whole, holds something else than files named as blobs are, or they
            can't be written; what came before that is kept.
    """
    count = 0
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                _write(folder, archive, member)
                count += 1
    except tarfile.TarError as error:
        raise RuntimeFault(
            f"the stream of small files was cut ({error})", remedy="repeat the command"
        ) from error
    return {"files": count}


def _write(folder: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    content = archive.extractfile(member) if member.isreg() else None
    if content is None or not _NAME.fullmatch(member.name):
        raise RuntimeFault(
            f"{member.name!r} is not a blob", remedy="check that both ends are of one version"
        )
    try:
        with (folder / (member.name + PARTIAL)).open("wb") as target:
            shutil.copyfileobj(content, target)
    except OSError as error:
        raise RuntimeFault(
            f"{member.name}: {error.strerror}",
            remedy="free some space there; what was uploaded so far is kept",
        ) from error
