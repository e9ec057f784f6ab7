"""The first process of a host without namespaces: what its children leave behind becomes its own.

python -m edgesplit.lab.reaper COMMAND...

So all of a host descends from it, however a process detached itself, and can be found and ended.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

from edgesplit.lab.census import INIT

_PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str]) -> None:
    """Start a command, then bury processes until there are none."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.environ.pop(INIT, None)
    os.posix_spawn(argv[0], argv, os.environ)
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
