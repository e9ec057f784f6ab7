"""Requests that stand for those of users: seeded and random."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.table import Port

Array = NDArray[Any]


def random_inputs(ports: Iterable[Port], seed: int) -> dict[str, Array]:
    """Return seeded inputs: normal floats, bytes of any value, other integers 0 or 1."""
    source = np.random.default_rng(seed)
    return {port.name: _sample(source, port) for port in ports}


def varied_inputs(ports: Iterable[Port], seeds: Iterable[int]) -> tuple[dict[str, Array], ...]:
    """Return two requests a seed: one as `random_inputs` gives it, one with floats in [0, 1)."""
    known = tuple(ports)
    pairs = ((random_inputs(known, seed), _uniform(known, seed)) for seed in seeds)
    return tuple(inputs for pair in pairs for inputs in pair)


def _uniform(ports: Iterable[Port], seed: int) -> dict[str, Array]:
    source = np.random.default_rng((seed, 1))
    return {
        port.name: source.random(port.shape).astype(port.dtype)
        if np.dtype(port.dtype).kind == "f"
        else _sample(source, port)
        for port in ports
    }


def _sample(source: np.random.Generator, port: Port) -> Array:
    dtype = np.dtype(port.dtype)
    if dtype.kind == "f":
        return source.standard_normal(port.shape).astype(dtype)
    highest = 256 if dtype == np.uint8 else 2
    return source.integers(0, highest, port.shape).astype(dtype)
