"""A systemd unit's text, filled in with what only the device knows."""

from __future__ import annotations

from pathlib import PurePath
from string import Template

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.release import Manifest, facts
from edgesplit.runtime.root import Root, Slot

_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - where PrivateTmp would hide what is needed


def unit_name(root: Root, slot: Slot, digest: str) -> str:
    """Return the name of the unit that runs a release."""
    program = facts(root, digest)
    return f"edgesplit-{program['cluster']}-{program['device']}-{slot.number}.service"


def unit_title(root: Root, digest: str) -> str:
    """Return what people read of a release."""
    program = facts(root, digest)
    return f"{program['device']} of {program['cluster']}"


def fill_unit(text: str, root: Root, slot: Slot, manifest: Manifest, title: str) -> str:
    """Return a unit's text with the paths, interpreter and code of a release.

    Raises:
        RuntimeFault: The text asks for something else.
    """
    places = _places(root, slot, manifest) | {"title": _literal(title)}
    try:
        return Template(text).substitute(places)
    except (KeyError, ValueError) as error:
        raise RuntimeFault(f"the unit can't be filled in: {error}") from error


def _places(root: Root, slot: Slot, manifest: Manifest) -> dict[str, str]:
    folder, python = str(root.folder), manifest.python
    words = (python, "-P", "-m", "edgesplit.runtime", "boot", folder, "--slot", str(slot.number))
    return {
        "directory": _literal(folder),
        "environment": _quoted(f"PYTHONPATH={root.blobs / manifest.code}.zip"),
        "command": " ".join(_quoted(word).replace("$", "$$") for word in words),
        "log": _literal(str(slot.log)),
        "writable": _quoted(folder),
        "private_tmp": "no" if _temporary(folder) or _temporary(python) else "yes",
    }


def _literal(text: str) -> str:
    """Return a value without specifiers."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word that systemd reads as one."""
    escaped = _literal(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _temporary(path: str) -> bool:
    return any(PurePath(path).is_relative_to(folder) for folder in _TEMPORARY)
