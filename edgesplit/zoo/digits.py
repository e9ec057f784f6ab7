"""Real handwritten digits, held back when the built-in LeNet-5 was trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).with_name("data")
LABELS = tuple("0123456789")

INK = 16
"""Greatest value of a pixel in the data set; 0 is blank paper."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Inputs of LeNet-5, float32 [n, 1, 32, 32] in [0, 1], and their labels, int64 [n]."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def held_back() -> Digits:
    """Return the digits that the shipped LeNet-5 has never seen."""
    with np.load(DATA / "digits.npz", allow_pickle=False) as archive:
        return Digits(as_input(archive["images"]), archive["labels"].astype(np.int64))


def as_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn digits of the data set, uint8 [n, 8, 8] in 0..16, into inputs of LeNet-5.

    Every pixel becomes a square of 4 x 4, scaled to [0, 1].
    """
    enlarged = np.repeat(np.repeat(pixels, 4, axis=1), 4, axis=2)
    return enlarged[:, None].astype(np.float32) / np.float32(INK)


def trained_accuracy() -> float:
    """Return the share of the held-back digits that LeNet-5 got right when it was trained."""
    with np.load(DATA / "lenet5.npz", allow_pickle=False) as archive:
        return float(archive["accuracy"])
