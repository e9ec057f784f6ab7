"""Commands on a device: `python -m edgesplit.runtime VERB ROOT ...`, JSON on standard output."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgesplit.errors import EdgesplitError, ExitCode
from edgesplit.runtime import blobs, control, release
from edgesplit.runtime.release import Root
from edgesplit.runtime.supervisor import supervise

Answer = Mapping[str, object]
Verb = Callable[[Root, Sequence[str]], Answer]


def _keygen(root: Root, _: Sequence[str]) -> Answer:
    from edgesplit.runtime.keys import curve_public, curve_secret  # noqa: PLC0415 - imports zmq

    return {"public": curve_public(curve_secret(root.secret))}


def _stage(root: Root, _: Sequence[str]) -> Answer:
    order = json.load(sys.stdin)
    return {"release": release.stage(root, order["manifest"], order["program"])}


def _verify(root: Root, _: Sequence[str]) -> Answer:
    return {"bad": blobs.adopt(root.blobs, json.load(sys.stdin)["names"])}


def _kill(root: Root, options: Sequence[str]) -> Answer:
    if "held" in options:
        control.hold(root)
    return control.signal_executor(root, signal.SIGKILL)


def _purge(root: Root, _: Sequence[str]) -> Answer:
    control.stop(root)
    release.purge(root)
    return {}


_VERBS: Mapping[str, Verb] = {
    "keygen": _keygen,
    "verify": _verify,
    "stage": _stage,
    "activate": lambda root, options: {"before": release.activate(root, options[0])},
    "start": lambda root, _: control.start(root, control.supervisor_command(root)),
    "stop": lambda root, _: control.stop(root),
    "state": lambda root, _: control.describe(root),
    "hold": lambda root, _: control.hold(root),
    "release": lambda root, _: control.let_go(root),
    "kill": _kill,
    "pause": lambda root, _: control.signal_executor(root, signal.SIGSTOP),
    "resume": lambda root, _: control.signal_executor(root, signal.SIGCONT),
    "log": lambda root, options: control.tail(root, int(options[0])),
    "purge": _purge,
}


def _supervise(root: Root, ready: int) -> int:
    def tell() -> None:
        os.write(ready, b"\n")
        os.close(ready)

    os.chdir(root.folder)
    supervise(root, control.executor_command(root), release.current(root), tell)
    return ExitCode.OK


def main(arguments: Sequence[str]) -> int:
    """Run one verb; errors are one line on standard error and an exit code."""
    if len(arguments) < 2 or arguments[0] not in {*_VERBS, "supervise", "execute"}:
        sys.stderr.write(f"usage: VERB ROOT [...]; verbs: {' '.join(_VERBS)}\n")
        return ExitCode.USAGE
    verb, folder, *options = arguments
    root = Root(Path(folder))
    try:
        if verb == "execute":
            return control.execute(root)
        if verb == "supervise":
            return _supervise(root, int(options[0]))
        return _answer(_VERBS[verb], root, options)
    except EdgesplitError as error:
        sys.stderr.write(f"{error}\n")
        # An executor that can't start as configured must not be started again and again.
        return ExitCode.USAGE if verb == "execute" else error.exit_code


def _answer(verb: Verb, root: Root, options: Sequence[str]) -> int:
    try:
        sys.stdout.write(json.dumps(verb(root, options)) + "\n")
    except OSError as error:
        sys.stderr.write(f"{error.strerror}: {error.filename}\n")
        return ExitCode.FAILURE
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
