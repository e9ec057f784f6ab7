"""Long texts in pieces: they come together again, and nothing else is inflated."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.dataflow.pieces import MAX_TEXT, PIECE, deflate, inflate, pieces


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_a_text_survives_its_pieces(size: int) -> None:
    text = random.Random(size).randbytes(size)  # noqa: S311 - no secrets here
    bodies = [deflate(text, number) for number in range(pieces(size))]
    assert deflate(text, len(bodies)) is None
    parts = [inflate(body or b"", number, size) for number, body in enumerate(bodies)]
    assert b"".join(part or b"" for part in parts) == text


def test_an_empty_text_has_no_piece() -> None:
    assert deflate(b"", 0) is None
    assert inflate(zlib.compress(b""), 0, 0) is None


@pytest.mark.parametrize(
    ("body", "number", "total"),
    [
        (zlib.compress(bytes(MAX_TEXT)), 0, PIECE),
        (zlib.compress(bytes(2)), 0, MAX_TEXT + 1),
        (zlib.compress(bytes(2)), 1, 2),
        (zlib.compress(bytes(2)), 0, 3),
        (zlib.compress(bytes(3)), 0, 2),
        (zlib.compress(bytes(2))[:-1], 0, 2),
        (zlib.compress(bytes(2)) + b"!", 0, 2),
    ],
)
def test_what_is_no_piece_of_that_text_is_refused(body: bytes, number: int, total: int) -> None:
    assert inflate(body, number, total) is None


@given(st.binary(max_size=64), st.integers(0, 3), st.integers(0, 2 * PIECE))
def test_random_bytes_are_refused_or_of_the_promised_size(
    body: bytes, number: int, total: int
) -> None:
    piece = inflate(body, number, total)
    assert piece is None or len(piece) == min(PIECE, total - number * PIECE)
