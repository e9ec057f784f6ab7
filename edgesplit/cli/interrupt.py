"""Being interrupted: whatever a command has started is stopped before it ends."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTICE = b"\ninterrupted: cleaning up (a second time ends at once)\n"


class Interruption:
    """Makes Ctrl-C, SIGTERM and a closed terminal unwind the command: exit code 128 + signal.

    A second signal of the same kind ends the process at once. What was ignored when the process
    began (`nohup`, a shell's background job) stays ignored. `code` is the exit code once a signal
    has come, None before.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._unwind)

    def _unwind(self, number: int, _: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        # Straight to the descriptor: the signal may have come in the middle of a buffered write.
        with suppress(OSError):
            os.write(2, _NOTICE)
        self.code = 128 + number
        raise SystemExit(self.code)
