"""Look at a device and tell what is there, as one line of JSON; change nothing.

Run as `python -c` before anything of edgesplit is there, on Python 3.6 and newer, so that one that
is too old can be told. The only thing it writes is its memory of a thorough look, `checked.json`,
and only in a folder that is edgesplit's.
"""

import json
import os
import platform
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 - 3.6 can't subscript the other

_SECONDS = 40
_QUICK_SECONDS = 5
_UNLIMITED = 1 << 60


def _read(path: Path) -> "str | None":
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def _number(text: "str | None", base: int = 10) -> "int | None":
    try:
        return int(text or "", base)
    except ValueError:
        return None


def _run(argv: "list[str]") -> "str | None":
    """Return what a helper of the system says, None where it isn't there or fails."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_QUICK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _json(path: Path) -> "dict[str, Any]":
    try:
        found = json.loads(_read(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def folder(root: Path) -> "dict[str, Any]":
    """Tell whose the folder is, which blobs lie in it, and how much room its disk has."""
    there = next(place for place in (root, *root.parents) if place.is_dir())
    disk = os.statvfs(str(there))
    blobs = root / "blobs"
    found = list(blobs.iterdir()) if blobs.is_dir() else []
    owned = (root / ".edgesplit").exists()
    return {
        "root": str(root),
        "free": disk.f_bavail * disk.f_frsize,
        "sizes": {path.name: path.stat().st_size for path in found},
        "owned": owned,
        "foreign": not owned and there == root and any(root.iterdir()),
    }


def interpreter() -> "dict[str, Any]":
    """Tell which Python this is, and for what processor."""
    return {
        "python": list(sys.version_info[:2]),
        "interpreter": sys.executable,
        "wide": sys.maxsize > 2**32,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "libc": "-".join(platform.libc_ver()),
        "page": os.sysconf("SC_PAGE_SIZE"),
    }


def memory(root: Path) -> "dict[str, Any]":
    """Tell of memory in bytes; `ours` is what executors of this folder have for themselves."""
    lines = [line.split() for line in (_read(Path("/proc/meminfo")) or "").splitlines()]
    sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
    return {
        "total": sizes.get("MemTotal", 0),
        "available": sizes.get("MemAvailable", 0),
        "swapped": sizes.get("SwapTotal", 0) - sizes.get("SwapFree", 0),
        "limit": limit(_read(Path("/proc/self/cgroup")) or "", Path("/sys/fs/cgroup")),
        "ours": sum(map(_private, root.glob("slots/*/state.json"))),
    }


def _private(state: Path) -> int:
    """Return the bytes of a slot's executor that no other could have while it runs."""
    executor = _json(state).get("executor") or {}
    process = Path("/proc") / str(executor.get("pid"))
    now = (_read(process / "stat") or "").rpartition(")")[2].split()
    words = (_read(process / "statm") or "").split()
    if len(words) < 3 or now[19:20] != [str(executor.get("started"))]:
        return 0
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")


def limit(groups: str, mount: Path) -> "int | None":
    """Return the least memory limit, in bytes, of the control groups that this process is in."""
    limits = [_number(_read(path)) for path in _limits(groups, mount)]
    told = [bytes_ for bytes_ in limits if bytes_ is not None and bytes_ < _UNLIMITED]
    return min(told) if told else None


def _limits(groups: str, mount: Path) -> "Iterator[Path]":
    """Yield where the limits may be: of each group and those above it, of either version."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path)
        for above in (group, *group.parents):
            yield base / str(above).lstrip("/") / name


def manager() -> "dict[str, Any]":
    """Tell whether systemd runs the machine, answers for this user, and keeps on without a login.

    `linger` is None where there is no systemd.
    """
    if not Path("/run/systemd/system").is_dir():
        return {"manager": False, "linger": None}
    user = pwd.getpwuid(os.getuid()).pw_name
    os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return {
        "manager": _run(["systemctl", "--user", "show", "--property=Version"]) is not None,
        "linger": _lingers(user),
    }


def _lingers(user: str) -> bool:
    if (Path("/var/lib/systemd/linger") / user).exists():
        return True
    shown = _run(["loginctl", "show-user", user, "--property=Linger"])
    return (shown or "").strip() == "Linger=yes"


def board() -> "dict[str, Any]":
    """Tell which board it is, how hot, and the bits by which its firmware tells of throttling."""
    file = next(Path("/sys/devices/platform").glob("soc*/soc*firmware/get_throttled"), None)
    bits = _read(file) if file else None
    if bits is None and shutil.which("vcgencmd"):
        bits = (_run(["vcgencmd", "get_throttled"]) or "").strip().rpartition("=")[2]
    celsius = _number(_read(Path("/sys/class/thermal/thermal_zone0/temp")))
    return {
        "model": _read(Path("/proc/device-tree/model")) or "",
        "celsius": None if celsius is None else celsius / 1000,
        "throttled": _number(bits, 16),
    }


def current(root: Path) -> "dict[str, str]":
    """Return the manifest of the release that is current, as far as it names code and Python."""
    found = _json(root / "current" / "manifest.json")
    return {key: str(found[key]) for key in ("code", "python") if key in found}


def provisioned(root: Path, python: str) -> "str | None":
    """Return a release's interpreter where it is one that edgesplit has made here."""
    path = Path(python)
    return python if root / "venvs" in path.parents and path.exists() else None


def thorough(path: str, check: str, memo: "Path | None") -> "dict[str, Any]":
    """Return what the check of an interpreter found, from memory where nothing has changed."""
    subject = _subject(path)
    known = _json(memo) if memo else {}
    if subject is not None and known.get("subject") == subject and _unmoved(known):
        return {"versions": known["versions"], "remembered": True}
    found = _check(path, check)
    folders = found.pop("folders", None)
    if memo and folders and None not in found["versions"].values():
        _remember(memo, dict(found, folders=folders, subject=subject))
    return found


def _subject(path: str) -> "list[Any] | None":
    try:
        changed = Path(path).stat().st_mtime
    except OSError:
        return None
    return [path, changed, _read(Path("/proc/sys/kernel/random/boot_id"))]


def _unmoved(known: "dict[str, Any]") -> bool:
    """Tell whether nothing was installed since into the folders that the modules are in."""
    folders = known.get("folders", {})
    try:
        return all(Path(folder).stat().st_mtime == folders[folder] for folder in folders)
    except OSError:
        return False


def _remember(memo: Path, found: "dict[str, Any]") -> None:
    part = memo.with_name(f"{memo.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(found))
        part.replace(memo)
    except OSError:  # A full disk is told by its size; this costs the next look a second.
        if part.exists():
            part.unlink()


def _check(path: str, check: str) -> "dict[str, Any]":
    """Run the check in a child, so that what kills it can be told.

    It begins where no module lies about that Python would take for the one that is asked for.
    """
    try:
        child = subprocess.Popen(
            [path, "-c", check],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        return {"failed": error.strerror}
    try:
        out, said = child.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return {"failed": f"it did not end within {_SECONDS} s"}
    code = child.returncode
    if code < 0 or code > 128:  # A shell between tells a signal as 128 and its number.
        return {"signal": signal.Signals(-code if code < 0 else code - 128).name}
    if code:
        lines = said.decode(errors="replace").strip().splitlines()
        return {"failed": lines[-1] if lines else f"exit code {code}"}
    return dict(json.loads(out.decode().strip().rpartition("\n")[2]))


def main() -> None:
    """Read the order, look, and write what was seen."""
    begun = time.time()
    order = json.loads(sys.argv[1])
    root = Path(order["root"]).expanduser().absolute()
    seen = dict(interpreter(), **folder(root))
    release = current(root)
    seen.update(manager(), memory=memory(root), board=board(), running=release.get("code"))
    chosen = order["python"] or provisioned(root, release.get("python", ""))
    if order["check"] and chosen:
        path = str(Path(chosen).expanduser())
        place = Path(shutil.which(path) or path).absolute()
        memo = root / "checked.json" if seen["owned"] else None
        seen["modules"] = thorough(str(place), order["check"], memo)
    seen.update(begun=begun, ended=time.time())
    sys.stdout.write("\n" + json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
