"""Timing specimens on a device: sub-models that come in one archive, their weights made here."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread

import numpy as np
import onnxruntime as ort

from edgesplit.dataflow.assembly import Array
from edgesplit.errors import EdgesplitError, RuntimeFault
from edgesplit.runtime.failures import ORT_FAILURES
from edgesplit.runtime.known import known_inputs
from edgesplit.runtime.root import Root
from edgesplit.runtime.session import open_session, return_freed_memory
from edgesplit.runtime.stopwatch import Patience, Yardstick, free_cores, ports

ORDER = "order.json"
"""In the archive: `names` of the specimens in their order, and the bytes of `weights`."""

YARDSTICK = "yardstick.onnx"
"""The specimen beside which all others are measured."""

WEIGHTS = "weights"
"""The file that all specimens take their weights from; its values don't matter."""

_PATIENCE = Patience(least=2, longest=0.4)
# Inputs of a type that numpy doesn't know are a TypeError.
_FAILURES: tuple[type[Exception], ...] = (*ORT_FAILURES, TypeError)
_BLOCK = 1 << 20
_CHUNK = 1 << 12


def measure(root: Root, name: str, threads: int, tell: Callable[[object], None]) -> None:
    """Time the specimens of an archive among the blobs, and leave nothing of them behind.

    Args:
        root: The device's folder.
        name: The archive's name there.
        threads: Threads within one operator, as an executor here has them.
        tell: Told first of the machine and how busy it is (processes that want to run, a core),
            then of each specimen: its name, and its seconds or why there are none.

    Raises:
        RuntimeFault: There is no such archive, or it is none.
    """
    folder, archive = root.profile, root.blobs / Path(name).name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        names = _unpack(archive, folder)
        return_freed_memory()
        cores = free_cores() if threads == 1 else ()
        yardstick = Yardstick(*_opened(folder / YARDSTICK, threads), cores)
        tell({"machine": machine(), "load": os.getloadavg()[0] / (os.cpu_count() or 1)})
        for one in names:
            tell({"name": one, **_measured(folder / one, threads, yardstick)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        archive.unlink(missing_ok=True)


def end_with_listener(root: Root) -> None:
    """End this process, and what it unpacked, when standard input ends: nobody listens then."""
    source = sys.stdin.fileno()

    def wait() -> None:
        while os.read(source, _CHUNK):  # Not through a buffer: its lock would outlive the rest.
            pass
        shutil.rmtree(root.profile, ignore_errors=True)
        os._exit(1)

    if not stat.S_ISCHR(os.fstat(source).st_mode):
        Thread(target=wait, daemon=True).start()


def machine() -> str:
    """Return the board's model, or the processor's, or its architecture."""
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text(encoding="utf-8").rstrip("\0")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _unpack(archive: Path, folder: Path) -> list[str]:
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        order = json.loads((folder / ORDER).read_bytes())
    except (OSError, zipfile.BadZipFile) as error:
        raise RuntimeFault(
            f"{archive.name} holds no specimens ({error})", remedy="repeat the command"
        ) from error
    with (folder / WEIGHTS).open("wb") as file:
        for block in _blocks(order["weights"]):
            file.write(block)
    names: list[str] = order["names"]
    return names


def _blocks(nbytes: int) -> Iterator[bytes]:
    """Yield small numbers, as many bytes; none is subnormal, which some processors are slow at."""
    numbers = np.random.default_rng(0).uniform(0.01, 0.1, _BLOCK).astype(np.float32)
    numbers[::2] *= -1
    block = numbers.tobytes()
    for start in range(0, nbytes, len(block)):
        yield block[: nbytes - start]


def _opened(path: Path, threads: int) -> tuple[ort.InferenceSession, Mapping[str, Array]]:
    session = open_session(path, threads, shared=False)
    return session, known_inputs(ports(session), path.name)


def _measured(path: Path, threads: int, yardstick: Yardstick) -> Mapping[str, object]:
    try:
        return {"seconds": yardstick.seconds(*_opened(path, threads), _PATIENCE)}
    except EdgesplitError as error:
        return {"failed": error.what}
    except _FAILURES as error:
        return {"failed": str(error).partition("\n")[0]}
