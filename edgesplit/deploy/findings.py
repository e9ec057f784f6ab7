"""What a look at a device means for a deployment: from what was seen to findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from edgesplit.deploy.probe import Blind, Modules, Probe, blinded
from edgesplit.spec.throttling import throttled_now, throttled_since_boot
from edgesplit.spec.units import format_bytes, format_seconds

OLDEST_PYTHON = (3, 11)
_NARROW = ("armv6", "armv7", "armv8l", "i386", "i486", "i586", "i686")
_WHEELS = ("aarch64", "x86_64")
_BROKEN_RUNTIME = "1.21.0"
_LESS_MEMORY = "lower the device's `memory` in the cluster file and plan again"
_LITTLE_DISK = 500_000_000
_CLOCK_SECONDS = 60.0
_HOT = 80.0  # Raspberry Pis begin to slow down there, in °C.


class Level(StrEnum):
    """How much a finding matters; a refusal stops a deployment before it changes anything."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of a device found, and what a person can do about it."""

    device: str
    check: str
    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be on a device.

    `memory` are the bytes that it must have for executors, `push` those that it doesn't have yet;
    None where no release is meant. `code` is the digest of our device-side code. `python` tells
    whether the cluster file names the interpreter (else edgesplit makes one there), `local`
    whether the device is this machine.
    """

    memory: int
    push: int | None
    code: str
    python: str | None
    local: bool = False


def judge(device: str, seen: Probe | Blind, wanted: Wanted) -> tuple[Finding, ...]:
    """Return what every check of a device found, what matters most first."""
    if isinstance(seen, Blind):
        found = list(_blind(device, seen))
    else:
        found = [finding for check in _CHECKS for finding in check(device, seen, wanted)]
    order = list(reversed(Level))
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


def unusable(device: str, seen: Probe) -> Iterator[Finding]:
    """Yield why the Python that looked around is of no use for edgesplit, if it isn't."""
    if not seen.wide or seen.machine.startswith(_NARROW):
        yield _narrow(device, seen.machine)
    if seen.python < OLDEST_PYTHON:
        version = ".".join(map(str, seen.python))
        yield Finding(
            device,
            "python",
            Level.REFUSAL,
            f"Python {version} is too old",
            "install Python 3.11 or newer, or set `python` in the cluster file",
        )


def _blind(device: str, seen: Blind) -> Iterator[Finding]:
    if seen.machine.startswith(_NARROW):
        yield _narrow(device, seen.machine)
    error = blinded(seen, device)
    yield Finding(device, "python", Level.REFUSAL, error.what, error.remedy)


def _narrow(device: str, machine: str) -> Finding:
    return Finding(
        device,
        "machine",
        Level.REFUSAL,
        f"the system is a 32-bit one ({machine}), for which there is no ONNX Runtime",
        "install the 64-bit Raspberry Pi OS",
    )


def _interpreter(device: str, seen: Probe, _: Wanted) -> Iterator[Finding]:
    refusals = list(unusable(device, seen))
    yield from refusals
    if not refusals:
        version = ".".join(map(str, seen.python))
        pages = f"{format_bytes(seen.page)} pages"
        told = f"Python {version}, {seen.machine}, {seen.libc}, kernel {seen.kernel}, {pages}"
        yield Finding(device, "python", Level.OK, told)


def _folder(device: str, seen: Probe, _: Wanted) -> Iterator[Finding]:
    if seen.foreign:
        yield Finding(
            device,
            "folder",
            Level.REFUSAL,
            f"{seen.root} holds other files than edgesplit's",
            "set the device's `root` to a folder of its own",
        )


def _disk(device: str, seen: Probe, wanted: Wanted) -> Iterator[Finding]:
    remedy = f"free some space, or set the device's `root` (now {seen.root}) elsewhere"
    push, free = wanted.push or 0, seen.free
    if push > free:
        told = f"{push / 1e6:.1f} MB to push, {free / 1e6:.1f} MB free"
        yield Finding(device, "disk", Level.REFUSAL, f"the disk is too full: {told}", remedy)
    elif free - push < _LITTLE_DISK:
        left = "" if wanted.push is None else " after the push"
        told = f"{(free - push) / 1e6:.1f} MB are free on the disk{left}"
        yield Finding(device, "disk", Level.WARNING, f"only {told}", remedy)


def _modules(device: str, seen: Probe, wanted: Wanted) -> Iterator[Finding]:
    found = seen.modules
    if any(unusable(device, seen)):
        return  # It could not have them.
    if found is None:
        if wanted.python is None and not wanted.local:
            yield _unmade(device, seen)
        return
    reason = _broken(found, wanted)
    if reason:
        yield Finding(device, "modules", Level.REFUSAL, *reason)
    else:
        versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
        yield Finding(device, "modules", Level.OK, versions)


def _unmade(device: str, seen: Probe) -> Finding:
    """Return whether there are packages to make a Python of, where there is none yet."""
    if seen.machine in _WHEELS and seen.libc.startswith("glibc"):
        told = "the deployment makes the Python for its executors, which can't be tried before"
        return Finding(device, "modules", Level.NOTE, told)
    library = seen.libc.strip("-") or "that it has"
    told = f"there is no ready-made ONNX Runtime for {seen.machine} with the C library {library}"
    remedy = (
        "let `python` in the cluster file name an interpreter there that has numpy, onnxruntime "
        "and pyzmq, or install the 64-bit Raspberry Pi OS"
    )
    return Finding(device, "modules", Level.REFUSAL, told, remedy)


def _broken(found: Modules, wanted: Wanted) -> tuple[str, str] | None:
    """Return why executors could not run with these modules, and the remedy."""
    install = (
        f"{wanted.python or 'python3'} -m pip install numpy 'onnxruntime!={_BROKEN_RUNTIME}' pyzmq"
    )
    other = "or set `python` in the cluster file to an interpreter that has them"
    if lacking := [name for name, version in found.versions.items() if version is None]:
        return f"Python lacks {', '.join(lacking)}", f"on the device: {install}; {other}"
    if found.versions.get("onnxruntime") == _BROKEN_RUNTIME:
        what = (
            f"onnxruntime {_BROKEN_RUNTIME} dies of an illegal instruction on the Cortex-A53 and "
            "A72 of a Raspberry Pi 3 and 4"
        )
        return what, f"on the device: {install}; {other}"
    if found.signal == "SIGILL":
        what = "importing onnxruntime died of SIGILL: it, or numpy, is built for other processors"
        return what, f"on the device, other versions: {install} --force-reinstall; {other}"
    if found.signal:
        what = f"importing onnxruntime died of {found.signal}"
        return what, "look at the device's memory and its kernel log (dmesg)"
    if found.failed:
        return (
            f"onnxruntime could not be tried: {found.failed}",
            f"try on the device: {wanted.python or 'python3'} -c 'import onnxruntime'",
        )
    return None


def _memory(device: str, seen: Probe, wanted: Wanted) -> Iterator[Finding]:
    memory, needed = seen.memory, format_bytes(wanted.memory)
    available = memory.available + memory.ours
    if memory.total < wanted.memory:
        told = f"{format_bytes(memory.total)} of memory are all it has, {needed} may be needed"
        yield Finding(device, "memory", Level.REFUSAL, told, _LESS_MEMORY)
    elif available < wanted.memory:
        told = f"{format_bytes(available)} of memory are available, {needed} may be needed"
        remedy = f"end other programs there, or {_LESS_MEMORY}"
        yield Finding(device, "memory", Level.WARNING, told, remedy)
    if memory.limit is not None and memory.limit < wanted.memory:
        yield Finding(
            device,
            "cgroup",
            Level.WARNING,
            f"its control group allows {format_bytes(memory.limit)} of memory, {needed} may be "
            "needed",
            "raise the limit (systemctl --user, or your container), or lower the device's `memory`",
        )
    if memory.swapped:
        yield Finding(
            device,
            "swap",
            Level.NOTE,
            f"{format_bytes(memory.swapped)} lie in swap; answers that wait for it are late",
            "end other programs there; swap is never counted as memory",
        )


def _clock(device: str, seen: Probe, _: Wanted) -> Iterator[Finding]:
    ahead, doubt = seen.clock.ahead, seen.clock.doubt
    if abs(ahead) - doubt > _CLOCK_SECONDS:
        told = format_seconds(abs(ahead)) if abs(ahead) < 3600 else f"{abs(ahead) / 3600:.1f} h"
        yield Finding(
            device,
            "clock",
            Level.WARNING,
            f"its clock is {told} {'ahead of' if ahead > 0 else 'behind'} this machine's",
            "on the device: sudo timedatectl set-ntp true (edgesplit itself doesn't rely on it, "
            "but logs and certificates do)",
        )


def _lasting(device: str, seen: Probe, wanted: Wanted) -> Iterator[Finding]:
    if wanted.local:
        return
    if seen.linger is None:
        yield Finding(
            device,
            "linger",
            Level.NOTE,
            "there is no systemd: executors don't come back by themselves after a boot",
            "deploy again after a boot of this device",
        )
    elif not (seen.linger and seen.manager):
        yield Finding(
            device,
            "linger",
            Level.WARNING,
            "the login user's services end with the login: executors don't come back after a boot"
            if not seen.linger
            else "systemd does not answer for the login user",
            "on the device: loginctl enable-linger (with sudo where that is refused)"
            if not seen.linger
            else "on the device: systemctl --user status; where that fails, install "
            "dbus-user-session and log in again",
        )


def _board(device: str, seen: Probe, _: Wanted) -> Iterator[Finding]:
    board = seen.board
    remedy = "use the board's own power supply and a short cable, and cool it"
    now, before = throttled_now(board.throttled), throttled_since_boot(board.throttled)
    if now:
        told = f"the board is slowed down now: {', '.join(now)}"
        yield Finding(device, "throttling", Level.WARNING, told, remedy)
    elif before:
        told = f"the board was slowed down since it booted: {', '.join(before)}"
        yield Finding(device, "throttling", Level.NOTE, told, remedy)
    if board.celsius is not None and board.celsius >= _HOT:
        told = f"the board is at {board.celsius:.0f} °C"
        yield Finding(device, "temperature", Level.WARNING, told, "cool it")


def _running(device: str, seen: Probe, wanted: Wanted) -> Iterator[Finding]:
    if seen.running not in {None, wanted.code}:
        yield Finding(
            device,
            "version",
            Level.NOTE,
            "what is deployed there is of another version of edgesplit",
            "the next deployment replaces it",
        )


_CHECKS = (
    _interpreter,
    _folder,
    _disk,
    _modules,
    _memory,
    _clock,
    _lasting,
    _board,
    _running,
)
