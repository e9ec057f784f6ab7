"""The inquiry: how a gateway gets the record of the epoch that follows. Pure: time is handed in."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Set as AbstractSet

from zmq.utils.z85 import decode as z85_bytes

from edgesplit.dataflow.pieces import inflate, pieces
from edgesplit.dataflow.wire import Drop, Header
from edgesplit.deploy.record import Record, parse_record
from edgesplit.errors import DeployError

_ENDPOINT = re.compile(r"tcp://[^\s/]+:([0-9]{1,5})")

PATIENCE = 1.0
"""Seconds that a device has to answer before another is asked."""


class Inquiry:
    """Asks one device at a time for one piece at a time; another if it doesn't answer, or wrongly.

    One frame is under way at most, so that a long record delays no beat and fills no queue.
    """

    def __init__(self) -> None:
        self._asked = ""
        self._again = -math.inf
        self._tried: set[str] = set()
        self._total = 0
        self._pieces: list[bytes] = []

    def begin(self, device: str, offering: AbstractSet[str], now: float) -> bool:
        """Tell whether to ask this device for its first piece; `offering` are all that have one."""
        if now < self._again:
            return False
        if offering <= self._tried:
            self._tried.clear()
        if device in self._tried:
            return False
        self._tried.add(device)
        self._asked, self._again = device, now + PATIENCE
        self._total, self._pieces = 0, []
        return True

    def take(self, sender: str, header: Header, body: bytes, now: float) -> Drop | int | str:
        """Take a piece: return which to ask for next, the whole text, or why it was dropped."""
        number = len(self._pieces)
        if sender != self._asked or header.flow != number or now >= self._again:
            return Drop.RECORD
        piece = inflate(body, number, header.lowest)
        if piece is None or (number and header.lowest != self._total):
            return self._fail()
        self._total, self._again = header.lowest, now + PATIENCE
        self._pieces.append(piece)
        return self._whole() if number + 1 == pieces(self._total) else number + 1

    def _whole(self) -> Drop | str:
        self._asked = ""
        try:
            return b"".join(self._pieces).decode()
        except UnicodeDecodeError:
            return Drop.RECORD

    def _fail(self) -> Drop:
        self._asked = ""
        return Drop.RECORD


def successor(text: str, record: Record, after: int) -> Record | None:
    """Return the record of a later epoch of the same cluster; None where the text is none.

    Args:
        text: What a device answered.
        record: The record of the epoch that it serves.
        after: The latest epoch that is known.
    """
    try:
        found = parse_record(text)
        later = found.cluster == record.cluster and found.epoch > after
        return found if later and _usable(found) else None
    except (DeployError, TypeError, AttributeError):
        return None


def _usable(record: Record) -> bool:
    """Tell whether a record says where each of its devices listens, and with which key."""
    peers = [record.peers.get(name) for name in record.table.devices]
    return all(peer and _is_endpoint(peer.endpoint) and _is_key(peer.public) for peer in peers)


def _is_endpoint(text: str) -> bool:
    found = _ENDPOINT.fullmatch(text)
    return found is not None and 0 < int(found[1]) < 1 << 16


def _is_key(text: str) -> bool:
    try:
        return len(z85_bytes(text)) == 32
    except (ValueError, KeyError, struct.error):
        return False
