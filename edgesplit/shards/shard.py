"""What is known of a built shard without opening it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """A built shard: its digest, its files as (name, bytes), and the bytes of mapped weights.

    The digest is the SHA-256 of the ONNX file; that file names its weights by their digest, so
    it covers them too.
    """

    digest: str
    files: tuple[tuple[str, int], ...]
    weight_bytes: int
