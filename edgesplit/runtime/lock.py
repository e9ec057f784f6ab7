"""The cluster's lock as one device keeps it: an owner, a token and a lease.

A lease is measured on the device's own clock since its boot, which no date set by hand or by a
time server moves; a reboot ends it.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import replace_volatile
from edgesplit.runtime.root import Root, boot_id


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds the lock.

    `since` is a date in seconds since 1970, for people; `taken` and `expires` are seconds since
    the boot `boot`. `process` names the controller's process as it named itself.
    """

    owner: str
    token: str
    process: Mapping[str, object]
    boot: str
    since: float
    taken: float
    expires: float

    def plain(self) -> dict[str, object]:
        """Return what others are told, with `age` and `expires_in` in seconds."""
        now = _now()
        return {
            "owner": self.owner,
            "token": self.token,
            "since": self.since,
            "age": now - self.taken,
            "expires_in": self.expires - now,
            "process": dict(self.process),
        }


def holder(root: Root) -> Lease | None:
    """Return who holds the lock; one that is malformed, expired or of another boot is nobody's."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        data = json.loads(root.lock.read_text(encoding="utf-8"))
        lease = Lease(**{**data, "process": dict(data["process"])})
        if lease.boot == boot_id() and lease.taken <= _now() < lease.expires:
            return lease
    return None


def acquire(root: Root, order: Mapping[str, Any]) -> dict[str, object]:
    """Take or renew the lock.

    Args:
        root: The device's folder.
        order: `owner`, `token`, `seconds` of the lease and the controller's `process`; with
            `steal`, the lock is taken from whoever holds it with the token `stolen`.

    Returns:
        `got`, and the `holder` that stood in the way, if one did.
    """
    with _guarded(root):
        held = holder(root)
        if held and held.token != order["token"] and not _steals(order, held):
            return {"got": False, "holder": held.plain()}
        lease = _lease(order, held)
        replace_volatile(root.lock, json.dumps(asdict(lease)))
        return {"got": True, "holder": None}


def give_back(root: Root, token: str) -> dict[str, object]:
    """Give the lock back; another's stays as it is."""
    with _guarded(root):
        held = holder(root)
        mine = held is not None and held.token == token
        if mine:
            root.lock.unlink()
        return {"released": mine}


def check(root: Root, token: str | None) -> None:
    """Refuse to go on where somebody else has taken the lock; without a token, nothing is asked.

    Raises:
        RuntimeFault: Another token holds it.
    """
    held = holder(root)
    if token is not None and held is not None and held.token != token:
        raise RuntimeFault(
            f"the lock was lost to {held.owner}",
            remedy="wait for them to finish, then run the command again",
        )


def _lease(order: Mapping[str, Any], held: Lease | None) -> Lease:
    """Return a new lease, or a renewed one that still says since when."""
    renewed = held is not None and held.token == order["token"]
    now = _now()
    return Lease(
        owner=str(order["owner"]),
        token=str(order["token"]),
        process=dict(order.get("process") or {}),
        boot=boot_id(),
        since=held.since if held and renewed else time.time(),
        taken=held.taken if held and renewed else now,
        expires=now + float(order["seconds"]),
    )


def _steals(order: Mapping[str, Any], held: Lease) -> bool:
    return bool(order.get("steal")) and order.get("stolen") == held.token


@contextmanager
def _guarded(root: Root) -> Iterator[None]:
    with root.lock_guard.open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
