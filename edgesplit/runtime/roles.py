"""What a device's process can become: a slot's supervisor, its executor, or what a boot wants."""

from __future__ import annotations

import os

from edgesplit.errors import ExitCode
from edgesplit.runtime import control
from edgesplit.runtime.look import slot_for
from edgesplit.runtime.notify import Notifier
from edgesplit.runtime.release import Watch, current, load, load_program
from edgesplit.runtime.root import Root, boot_id
from edgesplit.runtime.supervisor import supervise


def run_supervisor(root: Root, number: int, pipe: int | None = None) -> int:
    """Supervise a slot's executor in this process; return the exit code.

    Args:
        root: The device's folder.
        number: The slot's.
        pipe: A descriptor to be told on once the executor was started.

    Raises:
        RuntimeFault: The slot has no release, or a damaged one.
    """
    slot = root.slot(number)
    command = control.executor_command(root, slot)
    os.chdir(root.folder)
    return supervise(slot, command, Notifier.of(os.environ, pipe))


def run_executor(root: Root, number: int) -> int:
    """Run a slot's program in this process; return the exit code.

    Raises:
        RuntimeFault: The slot has no release or a damaged one, or its key is gone.
    """
    from edgesplit.runtime.executor import run
    from edgesplit.runtime.keys import device_secret

    digest = control.slot_release(root.slot(number))
    names = load(root, digest).names
    program = load_program(root, digest)
    watch = Watch(root, digest, program.epoch)
    return run(program, device_secret(root, program.key), root.blobs, names=names, watch=watch)


def boot(root: Root, number: int | None = None) -> int:
    """Become the supervisor of the current release, with that release's own code and Python.

    A slot that somebody has asked for in this boot is supervised with what it has, so that a
    candidate or an old release that still drains can be started again too.

    Returns:
        0 where there is nothing to start; else this function doesn't return.

    Raises:
        RuntimeFault: The release is damaged.
    """
    asked = None if number is None else _asked(root, number)
    digest = asked or current(root)
    if digest is not None:
        slot = slot_for(root, digest)
        control.place(root, slot, digest)
        words = ("supervise", str(root.folder), str(slot.number))
        command = control.release_command(root, digest, *words)
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    return ExitCode.OK


def _asked(root: Root, number: int) -> str | None:
    slot = root.slot(number)
    this_boot = slot.boot.is_file() and slot.boot.read_text(encoding="utf-8") == boot_id()
    return slot.release if this_boot else None
