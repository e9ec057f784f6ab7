"""Succession: how an executor learns that its epoch is over, passes it on, and leaves."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from edgesplit.dataflow.pieces import MAX_TEXT, deflate
from edgesplit.dataflow.wire import NO_REQUEST, Header, Kind
from edgesplit.errors import RuntimeFault

# Seconds between two looks at the record of the release that is current now.
_REREAD = 1.0


class Watch(Protocol):
    """What an executor can see of the releases on its device."""

    def superseded(self) -> bool:
        """Tell whether there is a current release and it is another than this one."""
        ...

    def candidate(self) -> bool:
        """Tell whether this release is yet to become current: none is, or one of an older epoch."""
        ...

    def record(self) -> bytes:
        """Return the deployment record of the current release."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that an executor stays without need: superseded and idle; started, never current."""

    superseded: float = 60.0
    candidate: float = 600.0


LIMITS = Limits()


class Succession:
    """What one executor knows of the epoch after its own. Times are seconds of the local clock.

    Args:
        epoch: The executor's own.
        watch: Sees the releases on the device; None for an executor that is on its own.
        limits: How long to stay.
        now: When the executor began.
    """

    def __init__(self, epoch: int, watch: Watch | None, limits: Limits, now: float) -> None:
        self.successor: int | None = None
        """The epoch that is current instead of ours."""
        self._epoch = epoch
        self._watch = watch
        self._limits = limits
        self._record = b""
        self._gone: set[int] = set()
        self._reread = now
        self._wanted = now
        self._candidate = False

    def tick(self, now: float, *, busy: bool) -> str:
        """Look around; return why to end now, or nothing.

        `busy` says that a gateway has requests open.
        """
        if self._watch is None:
            return ""
        self._candidate = self._watch.candidate()
        self._look(self._watch, now)
        waiting = self._candidate or self.successor is not None
        if not waiting or (busy and not self._candidate):
            self._wanted = now
        idle = now - self._wanted
        if self.successor is not None and idle >= self._limits.superseded:
            return f"epoch {self.successor} has taken over"
        if self._candidate and idle >= self._limits.candidate:
            return f"it did not become current within {self._limits.candidate:g} s"
        return ""

    def answer(self, ask: Header) -> tuple[Header, bytes] | None:
        """Return the piece of the successor's record that a gateway asks for, if there is one."""
        body, total = deflate(self._record, ask.flow), len(self._record)
        if body is None:
            return None
        header = Header(
            Kind.RECORD,
            self._epoch,
            ask.nonce,
            request=NO_REQUEST,
            lowest=total,
            flow=ask.flow,
            length=len(body),
        )
        return header, body

    def followed(self, nonce: int) -> None:
        """Note that a gateway has gone on to the successor."""
        if self.successor is not None:
            self._gone.add(nonce)

    def staying(self, nonces: Iterable[int]) -> Collection[int]:
        """Return those of these gateways that have yet to go on to the successor."""
        return set(nonces) - self._gone

    def _look(self, watch: Watch, now: float) -> None:
        """Keep up with which release is current; the same record is not read at every tick."""
        if self._candidate or not watch.superseded():
            self._follow(None, b"")
        elif self.successor is None or now >= self._reread:
            self._reread = now + _REREAD
            record = _read(watch)
            if record != self._record:
                self._follow(_epoch(record), record)

    def _follow(self, epoch: int | None, record: bytes) -> None:
        later = epoch is not None and epoch > self._epoch
        self.successor = epoch if later else None
        self._record = record if later else b""
        self._gone.clear()


def _read(watch: Watch) -> bytes:
    """Return the record, nothing where it can't be had: the next look may find it."""
    try:
        record = watch.record()
    except (OSError, RuntimeFault):
        return b""
    return record if len(record) <= MAX_TEXT else b""


def _epoch(record: bytes) -> int | None:
    try:
        return int(json.loads(record)["epoch"])
    except (ValueError, KeyError, TypeError):
        return None
