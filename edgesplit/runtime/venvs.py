"""Python environments on a device, made of wheels that are there: no index and no rights needed.

One is complete when it has the mark `.complete`; until then it is a folder of another name, which
an interrupted build leaves behind and the next one deletes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import PARTIAL, make_folder, replace_synced, sync_folder
from edgesplit.runtime.root import Root

COMPLETE = ".complete"
"""The mark of an environment that is whole."""

PYTHON = "bin/python"
"""Where the interpreter is in an environment."""

_SPACE = "free some space there; what was uploaded so far is kept"


def equip(
    root: Root, digest: str, wheels: Mapping[str, str], installer: str, wanted: Sequence[str]
) -> None:
    """Make an environment, unless it is there.

    Args:
        root: The device's folder.
        digest: Its name.
        wheels: Blobs by the file names that they have as wheels.
        installer: Which of the files is pip.
        wanted: The distributions to install, each named as its module but for pyzmq.

    Raises:
        RuntimeFault: It can't be made, with the last line of whoever failed.
    """
    target = root.venvs / digest
    if (target / COMPLETE).exists():
        return
    make_folder(root.venvs)
    for left in (target, *root.venvs.glob(f"{digest}*{PARTIAL}")):
        shutil.rmtree(left, ignore_errors=True)
    # A name of its own: an installer that outlived its interrupted build writes elsewhere.
    part = Path(tempfile.mkdtemp(dir=root.venvs, prefix=f"{digest}.", suffix=PARTIAL))
    try:
        _build(part, {name: root.blobs / blob for name, blob in wheels.items()}, installer, wanted)
        _finish(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _build(part: Path, wheels: Mapping[str, Path], installer: str, wanted: Sequence[str]) -> None:
    _run(
        [sys.executable, "-m", "venv", "--without-pip", str(part)],
        "install Python's module venv there (Debian has it in libpython3-stdlib)",
    )
    folder = part / "wheels"
    folder.mkdir()
    for name, blob in wheels.items():
        (folder / name).symlink_to(blob)
    python = str(part / PYTHON)
    # Isolated: neither this verb's own PYTHONPATH nor the user's packages and settings count.
    pip = [python, "-I", f"{folder / installer}/pip", "--isolated", "--no-cache-dir"]
    options = ["--quiet", "--no-index", "--find-links", str(folder)]
    _run(
        [*pip, "install", *options, *wanted],
        "look whether the device's Python is a usual one, or set `python` in the cluster file",
    )
    modules = ", ".join("zmq" if name == "pyzmq" else name for name in wanted)
    _run(
        [python, "-I", "-c", f"import {modules}"],
        "set `python` in the cluster file to an interpreter that can import them",
    )
    shutil.rmtree(folder)


def _finish(part: Path, target: Path) -> None:
    """Give an environment its name, once a power cut can't take anything of it."""
    part.chmod(0o755)
    os.sync()
    replace_synced(part / COMPLETE, b"")
    part.rename(target)
    sync_folder(target.parent)


def _run(command: Sequence[str], remedy: str) -> None:
    environ = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environ, check=False
    )
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    last = said[-1] if said else _ending(done.returncode)
    full = any("No space left on device" in line for line in said)
    raise RuntimeFault(
        f"no Python environment could be made: {last}", remedy=_SPACE if full else remedy
    )


def _ending(code: int) -> str:
    """Say how a silent process ended; SIGILL tells of a processor that a package isn't for."""
    return f"exit code {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"
