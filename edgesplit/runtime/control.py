"""What runs on a device: starting it, stopping it, and the faults of a drill."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence

from edgesplit.errors import RuntimeFault
from edgesplit.runtime import service
from edgesplit.runtime.blobs import make_folder, replace_link, replace_volatile
from edgesplit.runtime.logs import tail
from edgesplit.runtime.look import describe_slot, slot_for
from edgesplit.runtime.notify import VARIABLES
from edgesplit.runtime.release import check_whole, load
from edgesplit.runtime.root import Root, Slot, boot_id
from edgesplit.runtime.state import read_state
from edgesplit.runtime.supervisor import GRACE
from edgesplit.runtime.unit import fill_unit, unit_name, unit_title

_START_SECONDS = 20.0
# One thread computes, and a Pi has no memory to spare for an arena of each other thread.
_ENVIRONMENT = ("OPENBLAS_NUM_THREADS=1", "MALLOC_ARENA_MAX=2")


def start(root: Root, digest: str, unit: str | None = None) -> dict[str, object]:
    """Run a release in its slot and return once it is supervised.

    A release that is supervised already stays as it is, but is let go where it is held; another
    one in its slot is stopped first.

    Args:
        root: The device's folder.
        digest: The release.
        unit: Text of a systemd unit to run it under, where a lasting user manager answers.

    Raises:
        RuntimeFault: The release is not whole, or its supervisor ended or said nothing for 20 s.
    """
    check_whole(root, digest)
    slot = slot_for(root, digest)
    let_go(slot)
    if not _supervises(slot, digest):
        text = _unit(root, slot, digest, unit)
        stop_slot(slot)
        place(root, slot, digest)
        _launch(root, slot, digest, text)
    service.prefer_current(root)
    return describe_slot(root, slot)


def place(root: Root, slot: Slot, digest: str) -> None:
    """Make a slot the place of a release, asked for in this boot."""
    make_folder(slot.folder)
    replace_link(slot.link, root.release(digest))
    replace_volatile(slot.boot, boot_id())


def release_command(root: Root, digest: str, *words: str) -> list[str]:
    """Return the command that runs a verb with a release's own code and Python.

    Raises:
        RuntimeFault: There is no such release, or it is damaged.
    """
    manifest = load(root, digest)
    code = root.blobs / f"{manifest.code}.zip"
    return ["env", f"PYTHONPATH={code}", manifest.python, "-P", "-m", "edgesplit.runtime", *words]


def executor_command(root: Root, slot: Slot) -> list[str]:
    """Return the command that runs a slot's program; raises RuntimeFault as above."""
    command = release_command(
        root, slot_release(slot), "execute", str(root.folder), str(slot.number)
    )
    hidden = [f"--unset={name}" for name in VARIABLES]
    return [command[0], *hidden, *_ENVIRONMENT, *command[1:]]


def slot_release(slot: Slot) -> str:
    """Return the digest of a slot's release.

    Raises:
        RuntimeFault: It has none.
    """
    if slot.release is None:
        raise RuntimeFault(f"slot {slot.number} has no release", remedy="deploy first")
    return slot.release


def stop_slot(slot: Slot) -> None:
    """End a slot's supervisor and executor, gently and then by force, and nothing else."""
    service.remove_unit(slot)
    slot.boot.unlink(missing_ok=True)
    state = read_state(slot)
    if state is None:
        return
    state.supervisor.send(signal.SIGTERM)
    if not state.supervisor.wait(GRACE + 2):
        state.supervisor.send(signal.SIGKILL)
        state.supervisor.wait(GRACE)
    if (latest := read_state(slot)) and latest.executor:
        latest.executor.send(signal.SIGKILL)
        latest.executor.wait(GRACE)


def signal_executor(slot: Slot, number: signal.Signals) -> dict[str, object]:
    """Send a signal to the executor and return which process took it.

    Raises:
        RuntimeFault: No executor runs here.
    """
    state = read_state(slot)
    process = state.executor if state else None
    if process is None or not process.send(number):
        raise RuntimeFault("no executor runs here", remedy="deploy, or restore the device")
    if number == signal.SIGKILL:
        process.wait(GRACE)
    return {"pid": process.pid, "signal": number.name}


def hold(slot: Slot) -> dict[str, object]:
    """Keep a dead executor dead until `let_go`."""
    make_folder(slot.folder)
    slot.hold.touch()
    return {"held": True}


def let_go(slot: Slot) -> dict[str, object]:
    """End a hold; the supervisor starts the executor at once."""
    slot.hold.unlink(missing_ok=True)
    state = read_state(slot)
    if state is not None:
        state.supervisor.send(signal.SIGHUP)
    return {"held": False}


def spawn(slot: Slot, command: Sequence[str]) -> None:
    """Start a supervisor in a session of its own and wait until a byte on a pipe says it is up.

    Args:
        slot: Where it works.
        command: What to run; the pipe's descriptor is added as the option `--ready`.

    Raises:
        RuntimeFault: The supervisor ended, or said nothing for 20 s.
    """
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)  # noqa: FBT003 - the only way to say it
    with os.fdopen(reader, "rb", buffering=0) as ready:
        with os.fdopen(writer, "wb"), slot.log.open("ab") as log:
            os.posix_spawnp(
                command[0],
                [*command, "--ready", str(writer)],
                os.environ,
                file_actions=(
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                ),
                setsid=True,
            )
        _await_ready(slot, ready.fileno())


def _supervises(slot: Slot, digest: str) -> bool:
    state = read_state(slot)
    return state is not None and state.supervisor.alive and state.release == digest


def _unit(root: Root, slot: Slot, digest: str, template: str | None) -> str | None:
    """Return the text of the unit to run: the one given, or the one that ran this release last."""
    if template is not None:
        return fill_unit(template, root, slot, load(root, digest), unit_title(root, digest))
    return service.installed_text(slot) if slot.release == digest else None


def _launch(root: Root, slot: Slot, digest: str, text: str | None) -> None:
    """Start a slot's supervisor as a unit where one is wanted and possible, else on its own."""
    if text is not None:
        reason = service.run_as_unit(slot, unit_name(root, slot, digest), text)
        if not reason:
            return
        with slot.log.open("a", encoding="utf-8") as log:
            log.write(f"supervised without systemd: {reason}\n")
    words = ("supervise", str(root.folder), str(slot.number))
    spawn(slot, release_command(root, digest, *words))


def _await_ready(slot: Slot, reader: int) -> None:
    ready = select.select([reader], [], [], _START_SECONDS)[0]
    if ready and os.read(reader, 1):
        return
    state = read_state(slot)
    if ready and state is not None and state.supervisor.alive:
        return  # Another start was faster: its supervisor owns the slot, ours has left.
    said = tail(slot.log, 5)["lines"]
    raise RuntimeFault(f"the supervisor did not start; its log ends with {said}")
