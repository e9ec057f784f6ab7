"""The parity code: any k of k + r rows give all k data rows.

Parity row `j` is `sum_i P[j][i] * block_i`; for r = 1 `P` is all ones, which is the code of
"Robustly Executing DNNs in IoT Systems Using Coded Distributed Computing", section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edgesplit.dataflow.region import Region

Coefficients = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decoder:
    """How lost data rows come back: `matrix @ (rows in order of sources)`.

    `lost` are the data rows, `sources` the rows to combine (indices over k + r), `matrix` is
    len(lost) x len(sources). `gain` is the worst noise gain of a recovered row.
    """

    lost: tuple[int, ...]
    sources: tuple[int, ...]
    matrix: Coefficients
    gain: float


def decoder(parity: Sequence[Sequence[float]], k: int, present: frozenset[int]) -> Decoder | None:
    """Return the decoder of least noise gain for the rows at hand; None where they are too few.

    Args:
        parity: `P`, r x k.
        k: Number of data rows.
        present: Rows at hand, indices over k + r.
    """
    lost = tuple(row for row in range(k) if row not in present)
    parities = sorted(row for row in present if row >= k)
    if len(parities) < len(lost):
        return None
    coefficients = np.asarray(parity, dtype=np.float64).reshape(-1, k)
    choices = (
        _solve(coefficients, k, lost, chosen) for chosen in combinations(parities, len(lost))
    )
    return min(choices, key=lambda choice: choice.gain)


def _solve(
    coefficients: Coefficients, k: int, lost: tuple[int, ...], chosen: tuple[int, ...]
) -> Decoder:
    """Solve `Y_E = B (Q_S - P[S, not E] Y_notE)` with `B = inv(P[S, E])`, in float64."""
    kept = [row for row in range(k) if row not in lost]
    rows = coefficients[[row - k for row in chosen]]
    inverse = np.linalg.inv(rows[:, list(lost)]) if lost else np.zeros((0, 0))
    others = rows[:, kept]
    matrix = np.hstack([-inverse @ others, inverse])
    noise = (rows**2).sum(axis=1) + (others**2).sum(axis=1)
    gain = float(np.sqrt((inverse**2 @ noise).max())) if lost else 0.0
    return Decoder(lost, (*kept, *chosen), matrix, gain)


def decode(
    plan: Decoder, rows: Mapping[int, NDArray[np.float32]], shape: tuple[int, ...]
) -> dict[int, NDArray[np.float32]]:
    """Return the lost data rows, each padded to `shape`.

    Args:
        plan: What `decoder` returned.
        rows: Arrays of the sources; a row shorter than `shape` counts as padded with zeros.
        shape: The longest block's shape.
    """
    used = [index for index, row in enumerate(plan.sources) if np.any(plan.matrix[:, index])]
    stacked = np.zeros((len(used), *shape), dtype=np.float32)
    for place, index in enumerate(used):
        row = rows[plan.sources[index]]
        stacked[place][Region.full(row.shape).slices] = row
    matrix = plan.matrix[:, used].astype(np.float32)
    # einsum, not matmul: the product is so small that a threaded BLAS would stall it.
    found = np.einsum("es,sm->em", matrix, stacked.reshape(len(used), -1))
    return {row: found[index].reshape(shape) for index, row in enumerate(plan.lost)}
