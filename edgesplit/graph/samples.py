"""Requests that stand for those of users: seeded and random."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.table import Port

Array = NDArray[Any]
Kind = Callable[[np.random.Generator, Port], Array]


def random_inputs(ports: Iterable[Port], seed: int) -> dict[str, Array]:
    """Return seeded inputs: normal floats, bytes of any value, other integers 0 or 1."""
    source = np.random.default_rng(seed)
    return {port.name: _sample(source, port) for port in ports}


def varied_inputs(ports: Iterable[Port], seeds: Iterable[int]) -> tuple[dict[str, Array], ...]:
    """Return two requests a seed: one of normal floats, one of floats in [0, 1)."""
    return _requests(ports, seeds, (_sample, _uniform))


def flat_inputs(ports: Iterable[Port], seeds: Iterable[int]) -> tuple[dict[str, Array], ...]:
    """Return a request a seed with one number a channel: what excites a convolution most."""
    return _requests(ports, seeds, (_flat,))


def _requests(
    ports: Iterable[Port], seeds: Iterable[int], kinds: Sequence[Kind]
) -> tuple[dict[str, Array], ...]:
    known = tuple(ports)
    return tuple(
        {port.name: kind(source, port) for port in known}
        for seed in seeds
        for number, kind in enumerate(kinds)
        for source in [np.random.default_rng((seed, number))]
    )


def _uniform(source: np.random.Generator, port: Port) -> Array:
    if np.dtype(port.dtype).kind == "f":
        return source.random(port.shape).astype(port.dtype)
    return _sample(source, port)


def _flat(source: np.random.Generator, port: Port) -> Array:
    channels = (*port.shape[:2], *(1 for _ in port.shape[2:]))
    numbers = _sample(source, Port(port.name, channels, port.dtype))
    return np.broadcast_to(numbers, port.shape).copy()


def _sample(source: np.random.Generator, port: Port) -> Array:
    dtype = np.dtype(port.dtype)
    if dtype.kind == "f":
        return source.standard_normal(port.shape).astype(dtype)
    highest = 256 if dtype == np.uint8 else 2
    return source.integers(0, highest, port.shape).astype(dtype)
