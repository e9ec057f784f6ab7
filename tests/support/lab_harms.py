"""Harm to one host of a site: done on entering, undone on leaving."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from lab_site import LabSite
from relays import until
from sshd_bed import make_key

from edgesplit.deploy.programs import bind_of
from edgesplit.deploy.standing import Slot
from edgesplit.lab import faults
from edgesplit.lab.enter import environment, in_host, inside
from edgesplit.lab.faults import Fault, Kind
from edgesplit.runtime.release import load

HARMED = "pi3"
"""The host; others stand in for it."""
MB = 1 << 20

Harm = Callable[[LabSite], AbstractContextManager[None]]

_SQUAT = """
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as door:
    print("there", flush=True)
    sys.stdin.read()
"""


@contextmanager
def locked_out(here: LabSite) -> Iterator[None]:
    """Have a host let nobody in by the operator's key."""
    host, keys = here.lab.host(HARMED), "/home/pi/.ssh/authorized_keys"
    in_host(here.lab, host, ["mv", keys, f"{keys}.hidden"])
    try:
        yield
    finally:
        in_host(here.lab, host, ["mv", f"{keys}.hidden", keys])


@contextmanager
def known_by(here: LabSite, key: str) -> Iterator[None]:
    """Have the operator know a host by this key, or not at all."""
    path = here.lab.folder / "known_hosts"
    before, address = path.read_text(), here.lab.host(HARMED).address
    others = "".join(f"{line}\n" for line in before.splitlines() if address not in line)
    path.write_text(others + (f"{address} {key}\n" if key else ""))
    try:
        yield
    finally:
        path.write_text(before)


@contextmanager
def known_by_another_key(here: LabSite) -> Iterator[None]:
    path = here.desk.folder / f"key-{secrets.token_hex(4)}"
    with known_by(here, make_key(path)):
        yield


def unknown(here: LabSite) -> AbstractContextManager[None]:
    return known_by(here, "")


@contextmanager
def injected(here: LabSite, kind: Kind, amount: float | None = None) -> Iterator[None]:
    fault = faults.inject(here.lab, Fault(kind, HARMED, amount))
    try:
        yield
    finally:
        faults.undo(here.lab, fault)


@contextmanager
def switched_off(here: LabSite) -> Iterator[None]:
    with injected(here, Kind.POWER_OFF):
        yield
    here.boot(HARMED)
    until(here.settled)


def frozen(here: LabSite) -> AbstractContextManager[None]:
    return injected(here, Kind.FREEZE)


def full(here: LabSite) -> AbstractContextManager[None]:
    return injected(here, Kind.DISK_FULL, MB)


@contextmanager
def squatted(here: LabSite) -> Iterator[None]:
    """Have somebody else listen where the next release's executor would."""
    host, record = here.lab.host(HARMED), here.record
    port = bind_of(record.devices.device(HARMED), record.epoch + 1).rpartition(":")[2]
    words = inside(here.lab, host, [sys.executable, "-c", _SQUAT, port])
    with subprocess.Popen(
        words,
        env=environment(here.lab, host),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as squatter:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "there\n"
        try:
            yield
        finally:
            assert squatter.stdin is not None
            squatter.stdin.close()


def flip(here: LabSite) -> str:
    """Change one bit of a host's large blob as it lies there, not as it is in memory."""
    path = _large(here)
    content = bytearray(path.read_bytes())
    content[secrets.randbelow(len(content))] ^= 1
    flipped = path.with_name("flipped")
    flipped.write_bytes(content)
    owner = path.stat()
    shutil.chown(flipped, owner.st_uid, owner.st_gid)
    flipped.replace(path)
    return path.name


def upload(here: LabSite) -> int:
    """Return how much a host has of the blob that is being uploaded to it."""
    return max((path.stat().st_size for path in here.root(HARMED).blobs.glob("*.part")), default=0)


def size(here: LabSite) -> int:
    """Return the bytes of a host's large blob."""
    return _large(here).stat().st_size


def _large(here: LabSite) -> Path:
    """Return a host's largest blob of those that run, as old ones may lie beside them."""
    root = here.root(HARMED)
    names = load(root, here.record.programs[HARMED]).names
    return max((root.blobs / name for name in names), key=lambda path: path.stat().st_size)


def slot(here: LabSite) -> Slot:
    return here.standings()[HARMED].own
