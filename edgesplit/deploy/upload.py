"""Uploads over SFTP that go on where an earlier try ended."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko

from edgesplit.deploy.hosts import Sent

# With its header this fits one packet of OpenSSH (32 KiB less 64 bytes); a little more takes two,
# of which one is nearly empty, and half the rate.
_CHUNK = 32_640
_PIECE = 1 << 20


def upload(sftp: paramiko.SFTPClient, path: str, source: Path | bytes, sent: Sent) -> None:
    """Make a file hold these bytes; one that is shorter is taken for their beginning.

    Raises:
        OSError: It can't be written, as on a full disk; or the connection was lost.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    there = _size(sftp, path)
    begin = there if there is not None and there <= size else None
    try:
        # Every write says where it belongs, so one that a cut connection still delivers does no
        # harm; appended it would be in the wrong place.
        with sftp.open(path, "wb" if begin is None else "r+b") as target:
            target.set_pipelined(True)
            target.seek(begin or 0)
            for chunk in _chunks(source, begin or 0):
                target.write(chunk)
                sent(len(chunk))
    except OSError as error:
        if error.errno is not None or not sftp.sock.get_transport().is_active():
            raise
        raise _short(error) from error
    # Paramiko doesn't wait for the last answers, in which a full disk would be told.
    if _size(sftp, path) != size:
        raise _short()


def _short(error: OSError | None = None) -> OSError:
    """Return the likeliest reason for bytes that are missing: SFTP itself knows only "failure"."""
    told = f" ({error})" if error is not None else ""
    return OSError(errno.ENOSPC, f"not all bytes were written{told}, the disk may be full")


def _chunks(source: Path | bytes, begin: int) -> Iterator[bytes]:
    for piece in _pieces(source, begin):
        for start in range(0, len(piece), _CHUNK):
            yield piece[start : start + _CHUNK]


def _pieces(source: Path | bytes, begin: int) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source[begin:]
        return
    with source.open("rb") as file:
        file.seek(begin)
        while piece := file.read(_PIECE // _CHUNK * _CHUNK):
            yield piece


def _size(sftp: paramiko.SFTPClient, path: str) -> int | None:
    with suppress(FileNotFoundError):
        return sftp.stat(path).st_size
    return None
