"""Looking at a device in one call, before anything of edgesplit is there; nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from time import time
from typing import Any

from edgesplit.deploy.hosts import Finished, Host
from edgesplit.errors import HostError

_SECONDS = 120.0
_QUICK_SECONDS = 20.0
_SIGNALS = 128  # A shell tells a signal as this and its number.
_SCRIPTS = Path(__file__).parent / "remote"
# Else a `platform.py` in the login's home, or where we are called, would stand for Python's own.
_ISOLATED = ("-I", "-S")


@dataclass(frozen=True, slots=True)
class Memory:
    """A device's memory in bytes.

    `limit` is that of the control groups of a login, `swapped` what lies in swap now, `ours` what
    executors that run already have for themselves.
    """

    total: int
    available: int
    swapped: int
    limit: int | None
    ours: int


@dataclass(frozen=True, slots=True)
class Board:
    """What a board says of itself; `throttled` are the firmware's bits, None where it has none."""

    model: str
    celsius: float | None
    throttled: int | None


@dataclass(frozen=True, slots=True)
class Modules:
    """How it went to import what executors need, and to compute with it.

    `versions` are by module, None for one that is not there; `signal` is what killed the process,
    `failed` its last words, `remembered` tells that it was done at an earlier time.
    """

    versions: Mapping[str, str | None]
    signal: str = ""
    failed: str = ""
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """By how many seconds a device's clock is ahead, give or take `doubt`."""

    ahead: float
    doubt: float


@dataclass(frozen=True, slots=True)
class Probe:
    """What a device says about itself.

    `root` is the absolute folder there; `sizes` are bytes of the blobs and unfinished uploads in
    it; `free` are bytes free on its disk; `foreign` means that others' files are in that folder.
    `interpreter` is the Python that looked around, `wide` whether it has 64 bits, `page` the bytes
    of a memory page. `manager` tells whether systemd answers for the login user, and `linger`
    whether it goes on without a login; None where there is no systemd. `running` is the digest of
    the device-side code of the current release, `modules` None where nothing was imported.
    """

    root: str
    python: tuple[int, int]
    interpreter: str
    wide: bool
    machine: str
    kernel: str
    libc: str
    page: int
    free: int
    sizes: Mapping[str, int]
    owned: bool
    foreign: bool
    memory: Memory
    manager: bool
    linger: bool | None
    board: Board
    clock: Clock
    running: str | None = None
    modules: Modules | None = None


@dataclass(frozen=True, slots=True)
class Blind:
    """A device that can be reached, but on which no Python could look around.

    `machine` is its processor as `uname -m` tells it, `code` and `said` how the Python ended.
    """

    python: str
    machine: str
    code: int
    said: str


def glance(
    host: Host, python: str, root: str, chosen: str | None = None, *, thorough: bool = False
) -> Probe | Blind:
    """Look around with a Python of a device.

    Args:
        host: Where to look.
        python: The interpreter that looks around, 3.6 or newer.
        root: The folder that is, or is to be, edgesplit's there.
        chosen: The interpreter that is to run executors; None for the one that edgesplit has made
            there for the current release, if it has.
        thorough: Have that interpreter import and compute as well; a success is remembered there
            until the device boots again or the interpreter or its packages change.

    Raises:
        HostError: The device can't be reached.
    """
    check = _script("import_check") if thorough else ""
    order = json.dumps({"root": root, "python": chosen, "check": check})
    sent = time()
    words = [python, *_ISOLATED, "-c", _script("probe_script"), order]
    done = host.run(words, timeout=_SECONDS)
    back = time()
    if done.code != 0:
        machine = host.run(["uname", "-m"], timeout=_QUICK_SECONDS).out.decode(errors="replace")
        return Blind(python, machine.strip(), done.code, _last_words(done))
    told = _parse(done.out, host.name)
    return _probe(told, compare_clocks(sent, told.pop("begun"), told.pop("ended"), back))


def compare_clocks(sent: float, begun: float, ended: float, back: float) -> Clock:
    """Return how far a device's clock is ahead of ours.

    Args:
        sent: Unix seconds here when the device was asked.
        begun: Those there when it began to look.
        ended: Those there when it had looked.
        back: Those here when its answer had come; half of the way there and back is in doubt.
    """
    return Clock(((begun - sent) + (ended - back)) / 2, max(0.0, back - sent - (ended - begun)) / 2)


def blinded(blind: Blind, device: str) -> HostError:
    """Return the error of a device on which no Python could look around."""
    machine = f" (the processor is {blind.machine})" if blind.machine else ""
    if blind.code in {126, 127}:
        return HostError(
            f"there is no Python at `{blind.python}`{machine}",
            where=device,
            remedy="install Python 3.11 or newer, or set `python` in the cluster file",
        )
    return HostError(
        f"Python could not look around there: {blind.said}{machine}",
        where=device,
        remedy=f"on the device: {blind.python} --version; it must run, and be 3.11 or newer",
    )


def _last_words(done: Finished) -> str:
    if done.code < 0 or done.code > _SIGNALS:
        return f"it was killed by {_signal(done.code)}"
    lines = done.err.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.code}"


def _signal(code: int) -> str:
    """Return the name of what killed a command; an ssh server may not tell."""
    number = -code if code < 0 else code - _SIGNALS
    named = code != -1 and number in set(Signals)
    return Signals(number).name if named else "a signal"


def _parse(out: bytes, device: str) -> dict[str, Any]:
    """Read the last line of an output; a login shell may have written others before it."""
    try:
        told: dict[str, Any] = json.loads(out.strip().rpartition(b"\n")[2])
    except ValueError:
        raise HostError(
            f"it answered {out[-80:]!r} instead of JSON",
            where=device,
            remedy="look for commands that print in its shell's start-up files",
        ) from None
    return told


def _probe(told: dict[str, Any], clock: Clock) -> Probe:
    modules = told.get("modules")
    parts = {
        "python": tuple(told["python"]),
        "memory": Memory(**told["memory"]),
        "board": Board(**told["board"]),
        "modules": Modules(**{"versions": {}, **modules}) if modules else None,
    }
    return Probe(**told | parts, clock=clock)


def _script(name: str) -> str:
    return (_SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
