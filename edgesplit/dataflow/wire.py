"""The wire format: a fixed binary header and raw bytes, checked against the task table."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple

from edgesplit.dataflow.table import Flow

_MAGIC = b"eS"
_VERSION = 1
_LAYOUT = struct.Struct("<2sBBIQQQHHIIIHB5x")
_DTYPES = (
    "none",
    "float32",
    "uint8",
    "int8",
    "int32",
    "int64",
    "float16",
    "float64",
    "bool",
    "uint16",
    "int16",
    "uint32",
    "uint64",
)
_CODES = {name: code for code, name in enumerate(_DTYPES)}

HEADER_BYTES = _LAYOUT.size
"""Bytes of every header."""
MAX_REMAINING = 0xFFFF_FFFF
"""The longest deadline a header can carry, in microseconds (71 minutes)."""
NO_REQUEST = 0xFFFF_FFFF_FFFF_FFFF
"""The request of frames that belong to none, so that they are not forgotten with one."""
TAKEN = 0xFFFF_FFFF
"""The number of no piece: the gateway has followed."""


class Kind(IntEnum):
    """What a frame is for, and who may send it.

    A gateway says HELLO when it has dialled, OPEN when it admits a request, CLOSE when it needs
    no more of it. DATA is a contribution, from anyone. A device answers HELLO with a BEAT and
    sends one at every interval; its body is JSON. A gateway asks with RECORD for one piece of the
    record of the epoch that follows, `flow` its number; the device answers in kind, with the
    bytes of the whole record in `lowest` (see `dataflow.pieces`). With `flow` TAKEN the gateway
    says that it has gone on to that epoch and opens nothing here any more.
    """

    HELLO = 1
    OPEN = 2
    CLOSE = 3
    DATA = 4
    BEAT = 5
    RECORD = 6


class Drop(StrEnum):
    """Why a frame was dropped; each reason has its own counter."""

    HEADER = "header"
    EPOCH = "epoch"
    FLOW = "flow"
    SENDER = "sender"
    VARIANT = "variant"
    DTYPE = "dtype"
    LENGTH = "length"
    NONCE = "nonce"
    WINDOW = "window"
    CLOSED = "closed"
    LATE = "late"
    KIND = "kind"
    RECORD = "record"


class Header(NamedTuple):
    """The identity of a frame.

    `nonce` is drawn by each gateway process, `request` counts up from 0 within it, `attempt` from
    0 within the request, `variant` the way through the model that the attempt takes. `flow` is the
    id in the task table of the epoch: value, region, term and row in one number. `recovered` counts
    the groups that had to be decoded on the way here. `remaining` is microseconds until the
    deadline, `lowest` the gateway's lowest open request, `length` the bytes of the body.
    """

    kind: Kind
    epoch: int
    nonce: int
    request: int = 0
    lowest: int = 0
    attempt: int = 0
    variant: int = 0
    flow: int = 0
    remaining: int = 0
    length: int = 0
    recovered: int = 0
    dtype: str = "none"

    def pack(self, remaining: int | None = None) -> bytes:
        """Return the header's bytes, `HEADER_BYTES` of them; with another `remaining` if given."""
        return _LAYOUT.pack(
            _MAGIC,
            _VERSION,
            self.kind,
            self.epoch,
            self.nonce,
            self.request,
            self.lowest,
            self.attempt,
            self.variant,
            self.flow,
            self.remaining if remaining is None else remaining,
            self.length,
            self.recovered,
            _CODES[self.dtype],
        )

    @classmethod
    def unpack(cls, data: bytes) -> Header | None:
        """Read a header; None where the bytes are not one of this version."""
        if len(data) != HEADER_BYTES:
            return None
        magic, version, kind, *numbers, dtype = _LAYOUT.unpack(data)
        if (magic, version) != (_MAGIC, _VERSION) or dtype >= len(_DTYPES) or kind not in _KINDS:
            return None
        return cls(*(_KINDS[kind], *numbers, _DTYPES[dtype]))


_KINDS: Mapping[int, Kind] = {kind.value: kind for kind in Kind}


def screen(
    header: Header, size: int, sender: str, receiver: str, flows: Mapping[int, Flow]
) -> Drop | None:
    """Tell why a DATA frame doesn't fit the task table; None where it does.

    `size` is the body's length in bytes, `sender` the authenticated name. Nothing is allocated
    for a frame before it has passed.
    """
    flow = flows.get(header.flow)
    if flow is None or receiver not in flow.receivers:
        return Drop.FLOW
    if sender not in flow.senders:
        return Drop.SENDER
    if header.variant != flow.variant:
        return Drop.VARIANT
    if header.dtype != flow.dtype:
        return Drop.DTYPE
    if header.length != size or size != flow.nbytes:
        return Drop.LENGTH
    return None
