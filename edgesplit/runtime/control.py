"""What a controller can ask of a device: start, stop, look, and the faults of a drill."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.processes import Process
from edgesplit.runtime.release import Root, current, load, load_program
from edgesplit.runtime.supervisor import GRACE, read_state

_START_SECONDS = 20.0
_TAIL_BYTES = 1 << 16


def describe(root: Root) -> dict[str, object]:
    """Return what runs here: releases, processes, restarts, and the last exit code."""
    state = read_state(root)
    supervised = state is not None and state.supervisor.alive
    executor = state.executor if state else None
    return {
        "current": current(root),
        "release": state.release if state else None,
        "supervised": supervised,
        "running": executor is not None and executor.alive,
        "status": state.status if state and supervised else "stopped",
        "held": root.hold.exists(),
        "supervisor": asdict(state.supervisor) if state and supervised else None,
        "executor": asdict(executor) if executor and executor.alive else None,
        "restarts": state.restarts if state else 0,
        "last_exit": state.last_exit if state else None,
    }


def start(root: Root, command: Sequence[str]) -> dict[str, object]:
    """Start the supervisor's command detached and return once it supervises.

    A held device is let go; a supervisor that already runs stays as it is.

    Raises:
        RuntimeFault: The supervisor ended, or said nothing for 20 s.
    """
    let_go(root)
    state = read_state(root)
    if state is None or not state.supervisor.alive:
        _spawn(root, command)
    return describe(root)


def supervisor_command(root: Root) -> list[str]:
    """Return the command that supervises the current release, with that release's own code.

    Raises:
        RuntimeFault: There is no current release, or it is damaged.
    """
    return [*_release_command(root), "supervise", str(root.folder)]


def executor_command(root: Root) -> list[str]:
    """Return the command that runs the current release's program; raises as above."""
    return [*_release_command(root), "execute", str(root.folder)]


def execute(root: Root) -> int:
    """Run the current release's program in this process; return its exit code."""
    from edgesplit.runtime.executor import run  # noqa: PLC0415 - numpy, onnxruntime and zmq
    from edgesplit.runtime.keys import curve_secret  # noqa: PLC0415 - only executors need the key

    return run(load_program(root, _current(root)), curve_secret(root.secret), root.blobs)


def stop(root: Root) -> dict[str, object]:
    """End the supervisor and its executor, gently and then by force, and nothing else."""
    state = read_state(root)
    if state is not None:
        state.supervisor.send(signal.SIGTERM)
        if not state.supervisor.wait(GRACE + 2):
            state.supervisor.send(signal.SIGKILL)
            state.supervisor.wait(GRACE)
        if (latest := read_state(root)) and latest.executor:
            latest.executor.send(signal.SIGKILL)
            latest.executor.wait(GRACE)
    return describe(root)


def signal_executor(root: Root, number: signal.Signals) -> dict[str, object]:
    """Send a signal to the executor and return which process took it.

    Raises:
        RuntimeFault: No executor runs here.
    """
    state = read_state(root)
    process: Process | None = state.executor if state else None
    if process is None or not process.send(number):
        raise RuntimeFault("no executor runs here", remedy="deploy, or restore the device")
    if number == signal.SIGKILL:
        process.wait(GRACE)
    return {"pid": process.pid, "signal": number.name}


def hold(root: Root) -> dict[str, object]:
    """Keep a dead executor dead until `let_go`."""
    root.run.mkdir(parents=True, exist_ok=True)
    root.hold.touch()
    return {"held": True}


def let_go(root: Root) -> dict[str, object]:
    """End a hold; the supervisor starts the executor at once."""
    root.hold.unlink(missing_ok=True)
    state = read_state(root)
    if state is not None:
        state.supervisor.send(signal.SIGHUP)
    return {"held": False}


def tail(root: Root, lines: int) -> dict[str, object]:
    """Return the last lines of the log, at most 64 KiB of them."""
    if not root.log.exists():
        return {"lines": []}
    with root.log.open("rb") as file:
        file.seek(-min(_TAIL_BYTES, root.log.stat().st_size), os.SEEK_END)
        text = file.read().decode(errors="replace")
    return {"lines": text.splitlines()[-lines:]}


def _release_command(root: Root) -> list[str]:
    manifest = load(root, _current(root))
    code = root.blobs / f"{manifest.code}.zip"
    return ["env", f"PYTHONPATH={code}", sys.executable, "-P", "-m", "edgesplit.runtime"]


def _current(root: Root) -> str:
    digest = current(root)
    if digest is None:
        raise RuntimeFault("no release is active here", remedy="deploy first")
    return digest


def _spawn(root: Root, command: Sequence[str]) -> None:
    """Start a session of its own and wait until a byte on an inherited pipe says it is up."""
    root.run.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)  # noqa: FBT003 - the only way to say it
    with os.fdopen(reader, "rb", buffering=0) as ready:
        with os.fdopen(writer, "wb"), root.log.open("ab") as log:
            os.posix_spawnp(
                command[0],
                [*command, str(writer)],
                os.environ,
                file_actions=(
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                ),
                setsid=True,
            )
        _await_ready(root, ready.fileno())


def _await_ready(root: Root, reader: int) -> None:
    ready = select.select([reader], [], [], _START_SECONDS)[0]
    if ready and os.read(reader, 1):
        return
    state = read_state(root)
    if ready and state is not None and state.supervisor.alive:
        return  # Another start was faster: its supervisor owns the root, ours has left.
    said = tail(root, 5)["lines"]
    raise RuntimeFault(f"the supervisor did not start; its log ends with {said}")
