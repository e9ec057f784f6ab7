"""Generators of the parity code, and what may be promised of values recovered with them.

A stage of k data blocks and r parity rows survives any r losses; parity row j is
`sum_i P[j][i] * block_i`. One row is the plain sum (coded-robust-dnn-iot, section 5). For more,
the rows were found by search for the least worst-case amplification of rounding noise over all
patterns of losses; they are multiples of 2^-12, exact in float32.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from edgesplit.errors import PlanError

MOST_BLOCKS = 16
MOST_ROWS = 4

_PROMISES = {
    1: (3e-6, 3e-6, 3e-6, 3e-6),
    2: (5e-6, 1e-5, 2e-5, 2e-5),
    3: (5e-6, 2e-5, 3e-5, 5e-5),
    4: (1e-5, 3e-5, 1e-4, 3e-4),
}
"""By r, for k up to 4, 8, 12, 16."""


def coefficients(k: int, r: int) -> tuple[tuple[float, ...], ...]:
    """Return P, r rows of k coefficients.

    Raises:
        PlanError: There is no code for so many blocks or rows.
    """
    if r == 1 and k >= 1:
        return ((1.0,) * k,)
    rows = _tables().get(f"{k},{r}")
    if rows is None:
        raise PlanError(
            f"no parity code for {k} blocks and {r} parity rows",
            remedy=f"use at most {MOST_BLOCKS} blocks and {MOST_ROWS} parity rows, or one row",
        )
    return tuple(map(tuple, rows))


def promise(k: int, r: int) -> float:
    """Return the error that recovered values may have, relative to the output's largest value.

    Two to three times the worst that was measured over all patterns of losses, in float32.

    Raises:
        PlanError: There is no code for so many blocks or rows.
    """
    coefficients(k, r)
    return _PROMISES[r][min((k - 1) // 4, 3)]


@cache
def _tables() -> dict[str, list[list[float]]]:
    text = resources.files("edgesplit.plan").joinpath("generators.json").read_text("utf-8")
    tables: dict[str, list[list[float]]] = json.loads(text)["tables"]
    return tables
