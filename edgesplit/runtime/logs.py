"""The end of a slot's log, once or as it grows."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

TAIL_BYTES = 1 << 16
"""The most that is shown of what was there before."""

_TICK_MS = 250
_CHUNK = 1 << 16


def tail(log: Path, lines: int) -> dict[str, object]:
    """Return the last lines of the log, at most 64 KiB of them."""
    return {"lines": _last(log, lines)[0].decode(errors="replace").splitlines()}


def follow(log: Path, lines: int, source: int, sink: int) -> None:
    """Copy the last lines of a log, then all that is added, until nobody listens any more.

    Args:
        log: The log; it may be cut while it is followed, its old part is beside it then.
        lines: How many of the last lines.
        source: Descriptor whose end means that nobody listens; a terminal or /dev/null doesn't.
        sink: Descriptor to write to.
    """
    poller = select.poll()
    poller.register(sink, 0)  # Errors and hang-ups are always told.
    if not stat.S_ISCHR(os.fstat(source).st_mode):
        poller.register(source, select.POLLIN | select.POLLHUP)
    text, position = _last(log, lines)
    while True:
        _write(sink, text)
        if len(text) < _CHUNK and _ended(poller, source, sink):
            return
        text, position = _more(log, position)


def _ended(poller: select.poll, source: int, sink: int) -> bool:
    """Wait for the next look at the log; return whether nobody listens any more."""
    events = dict(poller.poll(_TICK_MS))
    return sink in events or (source in events and not os.read(source, _CHUNK))


def _more(log: Path, position: int) -> tuple[bytes, int]:
    """Return what was added after a position, and the position after that."""
    if not log.exists():
        return b"", position
    if log.stat().st_size < position:  # It was cut; what we had not seen is in the old part.
        return _read(log.with_suffix(".log.1"), position), 0
    text = _read(log, position)
    return text, position + len(text)


def _read(path: Path, position: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(position)
        return file.read(_CHUNK)


def _last(log: Path, lines: int) -> tuple[bytes, int]:
    """Return the last lines, and the position after them."""
    if not log.exists():
        return b"", 0
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL_BYTES))
        text = file.read(TAIL_BYTES)
        return b"".join(text.splitlines(keepends=True)[-lines:]) if lines else b"", file.tell()


def _write(sink: int, text: bytes) -> None:
    while text:
        text = text[os.write(sink, text) :]
