"""The executor: a dataflow interpreter around ONNX Runtime, on one I/O and one compute thread."""

from __future__ import annotations

import logging
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from edgesplit.errors import ExitCode, RuntimeFault
from edgesplit.runtime.loading import load
from edgesplit.runtime.program import Program
from edgesplit.runtime.serving import Executor
from edgesplit.runtime.succession import LIMITS, Limits, Watch

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(
    program: Program,
    secret_key: bytes,
    blobs: Path,
    *,
    names: Iterable[str] = (),
    watch: Watch | None = None,
    limits: Limits = LIMITS,
) -> int:
    """Run a device's program until SIGTERM or SIGINT, or until its epoch is over.

    Args:
        program: What to run.
        secret_key: The device's CURVE secret key, Z85.
        blobs: The folder of `<digest>.json` and `<digest>.onnx` files.
        names: The blobs of the release; all are hashed again before anything is loaded.
        watch: Sees which release is current; without it an executor never leaves by itself.
        limits: How long to stay once nobody needs this epoch.

    Returns:
        The exit code: 0 after a signal, or once nobody needs this epoch; 2 if the program or its
        blobs are wrong, so that starting again can't help; 1 if it can't listen or its compute
        thread broke. The reason is logged.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    _raise_descriptor_limit()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: sys.exit(ExitCode.OK))
    try:
        loaded = load(program, blobs, names)
    except RuntimeFault as fault:
        return _refuse(fault, ExitCode.USAGE)
    try:
        executor = Executor(loaded, secret_key, watch, limits)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: executor.stop())
        executor.serve()
    except RuntimeFault as fault:
        return _refuse(fault, ExitCode.FAILURE)
    return ExitCode.OK


def _refuse(fault: RuntimeFault, code: ExitCode) -> int:
    _log.error("%s", str(fault).replace("\n ", ";"))
    return code


def _raise_descriptor_limit() -> None:
    """Allow as many sockets as the system does: silent connections take descriptors too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
