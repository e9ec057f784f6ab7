"""Processes named so that no other can be meant: the kernel's id and the time of the start."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_DEAD = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this boot: `pid`, and its start in clock ticks since the boot.

    A pid is reused, the pair is not.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return the process that has this pid now.

        Raises:
            ProcessLookupError: There is none.
        """
        return cls(pid, _stat(pid)[1])

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie doesn't."""
        try:
            state, started = _stat(self.pid)
        except ProcessLookupError:
            return False
        return started == self.started and state not in _DEAD

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; return whether it was there to take it."""
        with self._handle() as handle:
            if handle is None:
                return False
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
                return True
            return False

    def wait(self, seconds: float) -> bool:
        """Wait until the process has ended; return whether it has."""
        with self._handle() as handle:
            if handle is None:
                return True
            return bool(select.select([handle], [], [], seconds)[0])

    @contextmanager
    def _handle(self) -> Iterator[int | None]:
        """Yield a descriptor of the process, checked after opening, so it can't be another's."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            yield handle if self.alive else None
        finally:
            os.close(handle)


def _stat(pid: int) -> tuple[str, int]:
    """Return a process's state letter and its start, fields 3 and 22 of proc(5)'s stat."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    # The name, field 2, is in parentheses and may hold blanks and parentheses of its own.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
