"""The executor's parent: starts it again when it crashes, and ends when it should not.

It is the same with and without a service manager. Limits without one: nobody restarts the
supervisor itself, and a reboot starts nothing. The kernel kills the executor when the supervisor
dies (PR_SET_PDEATHSIG), so that a port is never held by an executor that nobody watches.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from edgesplit.errors import ExitCode
from edgesplit.runtime.blobs import make_folder, replace_volatile
from edgesplit.runtime.notify import Notifier
from edgesplit.runtime.processes import Process
from edgesplit.runtime.root import Slot, boot_id
from edgesplit.runtime.state import State

FINAL_EXITS = frozenset({0, 2})
"""Exit codes that no restart mends: a wish, and a configuration error."""
LOG_BYTES = 1 << 20
GRACE = 5.0
"""Seconds that an executor has to end by itself."""

_BACKOFF = 0.2
_BACKOFF_MOST = 10.0
_STABLE = 60.0
_TICK = 10.0
_PR_SET_PDEATHSIG = 1
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})


def supervise(slot: Slot, command: Sequence[str], notifier: Notifier) -> int:
    """Run a command until it ends for good or SIGTERM comes.

    Signals are taken one by one from a queue (they stay blocked), so there is one thread and no
    handler. Where another supervisor owns this slot, nothing is done.

    Args:
        slot: Where state, log and hold mark are.
        command: The executor's.
        notifier: Told once the command was started, then that we live, and when we stop.

    Returns:
        The exit code: 2 where the command ended with it, else 0.
    """
    make_folder(slot.folder)
    with slot.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ExitCode.OK
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        state = State(Process.of(os.getpid()), slot.release, boot_id())
        return _Supervisor(slot, command, state).run(notifier)


class _Supervisor:
    def __init__(self, slot: Slot, command: Sequence[str], state: State) -> None:
        self._slot, self._command, self._state = slot, command, state
        self._child: subprocess.Popen[bytes] | None = None
        self._backoff = _BACKOFF
        self._launched = 0.0
        self._due = 0.0

    def run(self, notifier: Notifier) -> int:
        """Launch and watch until the end; return our exit code."""
        self._turn()
        notifier.ready()
        while self._state.status != "stopped":
            patience = min(self._patience(), notifier.interval)
            taken = signal.sigtimedwait(_SIGNALS, patience)
            notifier.alive()
            if taken is not None and taken.si_signo in {signal.SIGTERM, signal.SIGINT}:
                notifier.stopping()
                self._stop()
                return ExitCode.OK
            if taken is not None and taken.si_signo == signal.SIGHUP:
                self._due = 0.0  # A person asks: no reason to wait any longer.
            self._turn()
        return self._state.last_exit or ExitCode.OK

    def _turn(self) -> None:
        """Take note of an exit, then start what is due."""
        _rotate(self._slot.log)
        if self._child is not None and self._child.poll() is not None:
            self._note_exit(self._child.returncode)
        if self._child is None and self._state.status != "stopped":
            self._launch_if_due()

    def _launch_if_due(self) -> None:
        if self._slot.hold.exists():
            if self._state.status != "held":
                self._write(replace(self._state, status="held"))
        elif time.monotonic() >= self._due:
            self._launch()

    def _launch(self) -> None:
        parent = os.getpid()
        with self._slot.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: _tie_to(parent),  # noqa: PLW1509 - this process has one thread
            )
        self._launched = time.monotonic()
        again = self._state.last_exit is not None
        self._write(
            replace(
                self._state,
                status="running",
                executor=Process.of(self._child.pid),
                restarts=self._state.restarts + again,
            )
        )

    def _note_exit(self, code: int) -> None:
        if time.monotonic() - self._launched >= _STABLE:
            self._backoff = _BACKOFF
        self._due = time.monotonic() + self._backoff
        self._backoff = min(2 * self._backoff, _BACKOFF_MOST)
        self._child = None
        status: Literal["stopped", "waiting"] = "stopped" if code in FINAL_EXITS else "waiting"
        self._write(replace(self._state, status=status, executor=None, last_exit=code))

    def _stop(self) -> None:
        code = self._state.last_exit
        if self._child is not None:
            code = _end(self._child)
            self._child = None
        self._write(replace(self._state, status="stopped", executor=None, last_exit=code))

    def _patience(self) -> float:
        """Return the seconds until something may be due."""
        if self._child is not None or self._slot.hold.exists():
            return _TICK
        return max(0.0, min(self._due - time.monotonic(), _TICK))

    def _write(self, state: State) -> None:
        self._state = state
        replace_volatile(self._slot.state, json.dumps(asdict(state)))


def _end(child: subprocess.Popen[bytes]) -> int:
    """Ask a child to end, even a paused one; kill it when it doesn't."""
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGCONT)
    try:
        return child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _tie_to(parent: int) -> None:
    """In the new process: take signals again, and die with the parent, even one already dead."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _rotate(log: Path) -> None:
    """Keep the log bounded: the old part moves aside, the executor's open file stays the same.

    What is written between the copy and the cut is lost; a log may lose a line, a disk not.
    """
    if log.exists() and log.stat().st_size > LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
