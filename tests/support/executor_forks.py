"""Executors in processes that are forked, not started: what they import is imported once.

A script: it reads lines of JSON, each a log and the arguments of `executor_process` for one
executor, or `[]` to end those that run, which it says when it is done.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import executor_process

SCRIPT = str(Path(__file__))


def fork(log: str, *arguments: str) -> int:
    """Start an executor and return its process."""
    pid = os.fork()
    if pid:
        return pid
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os._exit(executor_process.main(*arguments))


def end(pids: list[int]) -> None:
    """Kill executors, which are none any more."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    pids.clear()


def main() -> None:
    running: list[int] = []
    for line in sys.stdin:
        if arguments := json.loads(line):
            running.append(fork(*arguments))
        else:
            end(running)
            sys.stdout.write("clear\n")
            sys.stdout.flush()
    end(running)


if __name__ == "__main__":
    main()
