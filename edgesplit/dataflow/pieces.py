"""A long text in pieces, each deflated on its own: small frames, and no way to blow them up."""

from __future__ import annotations

import zlib

PIECE = 1 << 18
"""Bytes of a piece before it is deflated; the last may be shorter."""
MAX_TEXT = 64 << 20
"""Bytes that a whole text may have."""

# Speed before size: a device deflates a piece between two beats.
_LEVEL = 1


def pieces(total: int) -> int:
    """Return the number of pieces of a text of `total` bytes."""
    return -(-total // PIECE)


def deflate(text: bytes, number: int) -> bytes | None:
    """Return one deflated piece of a text; None where it has no piece of this number."""
    if number >= pieces(len(text)):
        return None
    return zlib.compress(text[number * PIECE : (number + 1) * PIECE], _LEVEL)


def inflate(body: bytes, number: int, total: int) -> bytes | None:
    """Return a piece of a text of `total` bytes; None where the body is anything else.

    Never more than a piece is inflated, whatever the body says.
    """
    if not 0 < total <= MAX_TEXT or number >= pieces(total):
        return None
    expected = min(PIECE, total - number * PIECE)
    inflater = zlib.decompressobj()
    try:
        piece = inflater.decompress(body, expected + 1)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data
    return piece if whole and len(piece) == expected else None
