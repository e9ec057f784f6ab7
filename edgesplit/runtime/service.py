"""systemd's user manager as the parent of a slot's supervisor, where there is one that lasts.

A unit runs our own supervisor, so that everything is the same as without systemd, which only adds
that the supervisor itself is started again, and started after a boot. The unit of the current
release is enabled; a candidate's is only started.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgesplit.runtime.blobs import make_folder, replace_synced
from edgesplit.runtime.release import current
from edgesplit.runtime.root import Root, Slot

_SECONDS = 40.0
_LINGER = Path("/var/lib/systemd/linger")


@dataclass(frozen=True, slots=True)
class Unit:
    """A service of the user manager, by name."""

    name: str

    @property
    def path(self) -> Path:
        """Where its text is installed."""
        return Path.home() / ".config/systemd/user" / self.name

    def run(self, text: str) -> str:
        """Install and start it; return what failed, or nothing once it is up."""
        make_folder(self.path.parent)
        replace_synced(self.path, text.encode())
        for verb in (("daemon-reload",), ("reset-failed", self.name), ("start", self.name)):
            failure = _systemctl(verb)
            if failure and verb[0] != "reset-failed":  # Fails where there is nothing to reset.
                return failure
        return ""

    def enable(self, *, wanted: bool) -> None:
        """Let the next boot start it, or not."""
        _systemctl(("enable" if wanted else "disable", self.name))

    def remove(self) -> None:
        """Stop it and take it away."""
        _systemctl(("disable", "--now", self.name))
        self.path.unlink(missing_ok=True)
        _systemctl(("daemon-reload",))


def unit_of(slot: Slot) -> Unit | None:
    """Return the unit that a slot was given, None where it runs without."""
    with suppress(FileNotFoundError):
        return Unit(slot.unit.read_text(encoding="utf-8").strip())
    return None


def installed_text(slot: Slot) -> str | None:
    """Return the text of the slot's unit, None where it runs without."""
    unit = unit_of(slot)
    if unit is None or not unit.path.is_file():
        return None
    return unit.path.read_text(encoding="utf-8")


def run_as_unit(slot: Slot, name: str, text: str) -> str:
    """Run a slot as a systemd unit; return why that can't be done, or nothing once it is up."""
    if reason := _unusable():
        return reason
    replace_synced(slot.unit, name.encode())
    failure = Unit(name).run(text)
    if failure:
        remove_unit(slot)
    return failure


def remove_unit(slot: Slot) -> None:
    """Stop a slot's unit, if it has one, and take it away."""
    if unit := unit_of(slot):
        unit.remove()
        slot.unit.unlink()


def prefer_current(root: Root) -> None:
    """Enable the unit of the current release and no other; without that unit leave all as is.

    Whichever unit a boot starts, it runs what is current then.
    """
    digest = current(root)
    units = {slot: unit for slot in root.slots if (unit := unit_of(slot))}
    wanted = [unit for slot, unit in units.items() if slot.release == digest]
    for unit in (*wanted, *units.values()) if wanted else ():
        unit.enable(wanted=unit in wanted)


def _unusable() -> str:
    """Return why a unit would not do here: no manager, or one that ends with the session."""
    if shutil.which("systemctl") is None:
        return "there is no systemd"
    if failure := _systemctl(("show-environment",)):
        return f"no user manager answers ({failure})"
    user = pwd.getpwuid(os.getuid()).pw_name
    if not (_LINGER / user).exists() and (failure := _run(("loginctl", "enable-linger"))):
        return f"{user} may not linger ({failure}); on the device: sudo loginctl enable-linger"
    return ""


def _systemctl(words: Sequence[str]) -> str:
    return _run(("systemctl", "--user", "--no-ask-password", *words))


def _run(command: Sequence[str]) -> str:
    """Run a command of systemd; return what it said when it failed."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "XDG_RUNTIME_DIR": runtime},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
    return said if done.returncode else ""
