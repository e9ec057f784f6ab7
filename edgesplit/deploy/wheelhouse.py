"""The Python packages that executors import, as wheels for another machine than this one."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgesplit.errors import DeployError
from edgesplit.runtime.blobs import file_digest

ALLOWED = {
    # 1.21.0 dies with SIGILL on the Cortex-A53 and A72 of a Raspberry Pi 3 and 4.
    "onnxruntime": ">=1.20,!=1.21.0",
    "pyzmq": ">=26.2",
    "numpy": ">=2.0",
}
"""What the executor imports, and the versions that it works with."""

_SAME_AS_HERE = ("onnxruntime", "pyzmq")
_INSTALLER = "pip"
# The newest first; every 64-bit Linux with a Python that executors run on has such a C library.
_LIBRARIES = ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")
_SECONDS = 900.0
_INDEX = "index.json"
_UNREACHABLE = re.compile(r"after connection broken by|Could not fetch URL|Connection to .* failed")
_UNKNOWN = re.compile(r"No matching distribution found for ([\w-]+)[^\n]*?==")

Version = tuple[int, int]


@dataclass(frozen=True)
class Wheelhouse:
    """Wheels that install each other without an index, `pip` among them.

    `files` are the wheels by their file names, `digests` the SHA-256 of each in hex.
    """

    files: Mapping[str, Path]
    digests: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names and digests of the wheels, in hex."""
        text = json.dumps(sorted(self.digests.items()), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def blobs(self) -> dict[str, Path]:
        """The wheels by the names that they have as blobs."""
        return {blob_name(self.digests[name]): path for name, path in self.files.items()}

    @property
    def installer(self) -> str:
        """The file name of the wheel of pip."""
        return next(name for name in self.files if name.startswith(f"{_INSTALLER}-"))

    @property
    def nbytes(self) -> int:
        """Bytes of all wheels."""
        return sum(path.stat().st_size for path in self.files.values())


def blob_name(digest: str) -> str:
    """Return the name of a wheel as a blob."""
    return f"{digest}.whl"


def resolve(
    machine: str,
    python: Version,
    cache: Path,
    downloading: Callable[[], None] = lambda: None,
) -> Wheelhouse:
    """Return the wheels for a kind of device, downloaded the first time that they are asked for.

    Args:
        machine: The architecture as `uname -m` tells it, such as `aarch64`.
        python: Version of the device's Python.
        cache: Folder of what can be made again.
        downloading: Called before anything is downloaded.

    Raises:
        DeployError: There are no such wheels, or the package index can't be reached.
    """
    pins = _installed()
    folder = cache / "wheelhouses" / _key(machine, python, pins)
    found = _load(folder)
    if found is None:
        downloading()
        _fill(folder, machine, python, pins)
        found = _load(folder)
    if found is None:
        raise DeployError(
            "files of the wheels for devices are missing", where=str(folder), remedy="delete it"
        )
    return found


def _installed() -> dict[str, str]:
    """Return the versions of this machine that a device had better have as well."""
    pins = {}
    for name in _SAME_AS_HERE:
        with suppress(PackageNotFoundError):  # Another build of it may have another name.
            pins[name] = version(name)
    return pins


def _key(machine: str, python: Version, pins: Mapping[str, str]) -> str:
    question = json.dumps([machine, python, _LIBRARIES, _requirements(pins)])
    return hashlib.sha256(question.encode()).hexdigest()


def _requirements(pins: Mapping[str, str]) -> list[str]:
    pinned = {name: f",=={pins[name]}" for name in pins}
    return [*(f"{name}{said}{pinned.get(name, '')}" for name, said in ALLOWED.items()), _INSTALLER]


def _load(folder: Path) -> Wheelhouse | None:
    """Read a folder of wheels; None where it isn't there or something of it is gone."""
    try:
        digests: dict[str, str] = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    files = {name: folder / name for name in sorted(digests)}
    return Wheelhouse(files, digests) if all(path.is_file() for path in files.values()) else None


def _fill(folder: Path, machine: str, python: Version, pins: Mapping[str, str]) -> None:
    """Download the wheels beside the folder, which they become by one rename."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as made:
        wheels = Path(made) / "wheels"
        _download(wheels, machine, python, pins)
        digests = {path.name: file_digest(path) for path in sorted(wheels.glob("*.whl"))}
        (wheels / _INDEX).write_text(json.dumps(digests), encoding="utf-8")
        if folder.exists():  # Damaged, or another process was quicker.
            folder.rename(Path(made) / "replaced")
        wheels.rename(folder)


def _download(target: Path, machine: str, python: Version, pins: Mapping[str, str]) -> None:
    """Have pip download; a version of this machine that isn't there for the device gives way."""
    done = _pip(_command(target, machine, python, _requirements(pins)))
    if done.returncode == 0:
        return
    missing = _UNKNOWN.search(done.stderr)
    if missing and missing[1] in pins and not _UNREACHABLE.search(done.stderr):
        others = {name: pin for name, pin in pins.items() if name != missing[1]}
        _download(target, machine, python, others)
        return
    raise _failure(machine, python, done.stderr)


def _command(
    target: Path, machine: str, python: Version, requirements: Sequence[str]
) -> Iterator[str]:
    yield from (sys.executable, "-m", "pip", "download", "--quiet", "--retries", "1", "--no-input")
    yield from ("--disable-pip-version-check", "--only-binary", ":all:")
    for library in _LIBRARIES:
        yield from ("--platform", f"{library}_{machine}")
    yield from ("--python-version", _dotted(python), "--implementation", "cp")
    yield from ("--abi", "cp{}{}".format(*python), "--dest", str(target), *requirements)


def _pip(command: Iterator[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [*command], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise DeployError(
            f"pip didn't download Python packages for devices within {_SECONDS:g} s",
            remedy="look at this machine's way to the package index",
        ) from None


def _failure(machine: str, python: Version, said: str) -> DeployError:
    where = f"devices with {machine} and Python {_dotted(python)}"
    last = (said.strip().splitlines() or ["pip said nothing"])[-1].removeprefix("ERROR: ")
    own = f"; or let `python:` in the cluster file name an interpreter that has {_names()}"
    if "No module named pip" in said:
        return DeployError(
            "this machine's Python has no pip to download their packages with",
            where=where,
            remedy=f"{sys.executable} -m ensurepip, or install pip there otherwise{own}",
        )
    if _UNREACHABLE.search(said):
        return DeployError(
            f"the package index can't be reached for their Python packages: {last}",
            where=where,
            remedy="repeat it with a network once; afterwards none is needed" + own,
        )
    return DeployError(
        f"their Python packages can't be had: {last}",
        where=where,
        remedy=f"use a 64-bit system with a Python from 3.11 to 3.13 there{own}",
    )


def _names() -> str:
    *others, last = ALLOWED
    return f"{', '.join(others)} and {last}"


def _dotted(python: Version) -> str:
    return ".".join(map(str, python))
