"""Train the built-in LeNet-5 on scikit-learn's bundled digits, with numpy alone.

A stratified quarter of the 1,797 digits is held back and never looked at before the last line is
printed: the number of epochs is fixed beforehand. Writes `lenet5.npz` (weights and accuracy) and
`digits.npz` (the held-back digits) into `edgesplit/zoo/data`. The same machine and numpy give the
same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import edgesplit.zoo.digits
from edgesplit.zoo.digits import as_input
from edgesplit.zoo.lenet5 import DEFAULTS, lenet5
from edgesplit.zoo.write import random_weights

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

SEED = 5
HELD_BACK = 0.25
EPOCHS = 40
BATCH = 32
RATE = 2e-3
DECAY = 1e-3
"""Weight decay per step, as a share of the learning rate (AdamW)."""

SHIFT = 3
"""Training digits are moved by up to so many of the 32 pixels, along both axes."""


@dataclass
class Affine:
    """Weights that learn: an affine map of rows, its gradients and Adam's moments."""

    weight: Floats
    bias: Floats
    moments: list[Floats] = field(init=False)
    gradients: list[Floats] = field(init=False)
    rows: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.moments = [np.zeros_like(a) for a in (self.weight, self.bias) for _ in range(2)]

    def forward(self, rows: Floats) -> Floats:
        """Map rows [n, in] to [n, out]."""
        self.rows = rows
        return rows @ self.weight.T + self.bias

    def backward(self, slope: Floats) -> Floats:
        """Take the loss's slope at the output, [n, out]; return it at the input."""
        self.gradients = [slope.T @ self.rows, slope.sum(axis=0)]
        return slope @ self.weight

    def step(self, rate: float, count: int) -> None:
        """Move along the gradient: Kingma and Ba, "Adam", algorithm 1, with decoupled decay."""
        self.weight *= np.float32(1 - rate * DECAY)
        self.weight -= self._move(0, rate, count)
        self.bias -= self._move(1, rate, count)

    def _move(self, index: int, rate: float, count: int) -> Floats:
        slope = self.gradients[index]
        mean, square = self.moments[2 * index : 2 * index + 2]
        mean += np.float32(0.1) * (slope - mean)
        square += np.float32(0.001) * (slope * slope - square)
        unbiased = mean / np.float32(1 - 0.9**count)
        spread = np.sqrt(square / np.float32(1 - 0.999**count))
        move: Floats = np.float32(rate) * unbiased / (spread + np.float32(1e-8))
        return move


@dataclass
class Conv:
    """A 5 x 5 convolution as an affine map of its windows."""

    affine: Affine
    shape: tuple[int, ...] = ()

    def forward(self, x: Floats) -> Floats:
        """Map [n, c, h, w] to [n, out, h - 4, w - 4]."""
        self.shape = x.shape
        windows = sliding_window_view(x, (5, 5), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
        count, height, width = windows.shape[:3]
        rows = self.affine.forward(windows.reshape(count * height * width, -1))
        return rows.reshape(count, height, width, -1).transpose(0, 3, 1, 2)

    def backward(self, slope: Floats) -> Floats:
        """Add up the slopes of all windows that a pixel lies in."""
        count, channels, height, width = slope.shape
        rows = self.affine.backward(slope.transpose(0, 2, 3, 1).reshape(-1, channels))
        windows = rows.reshape(count, height, width, self.shape[1], 5, 5)
        x = np.zeros(self.shape, np.float32)
        for i in range(5):
            for j in range(5):
                part = windows[..., i, j].transpose(0, 3, 1, 2)
                x[:, :, i : i + height, j : j + width] += part
        return x


@dataclass
class Relu:
    """A rectifier."""

    alive: NDArray[np.bool_] = field(init=False)

    def forward(self, x: Floats) -> Floats:
        """Cut off what is negative."""
        self.alive = x > 0
        return x * self.alive

    def backward(self, slope: Floats) -> Floats:
        """Let the slope through where the input was positive."""
        return slope * self.alive


@dataclass
class Pool:
    """A 2 x 2 max pool."""

    share: Floats = field(init=False)

    def forward(self, x: Floats) -> Floats:
        """Map [n, c, h, w] to half the height and width."""
        count, channels, height, width = x.shape
        squares = x.reshape(count, channels, height // 2, 2, width // 2, 2)
        best = squares.max(axis=(3, 5), keepdims=True)
        winners = (squares == best).astype(np.float32)
        self.share = winners / winners.sum(axis=(3, 5), keepdims=True)
        pooled: Floats = best[:, :, :, 0, :, 0]
        return pooled

    def backward(self, slope: Floats) -> Floats:
        """Give the slope to the greatest, in equal shares where there are several."""
        squares = self.share * slope[:, :, :, None, :, None]
        count, channels, height, _, width, _ = squares.shape
        return squares.reshape(count, channels, 2 * height, 2 * width)


@dataclass
class Flatten:
    """[n, ...] to [n, -1]."""

    shape: tuple[int, ...] = ()

    def forward(self, x: Floats) -> Floats:
        """Flatten all axes but the first."""
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, slope: Floats) -> Floats:
        """Undo it."""
        return slope.reshape(self.shape)


Layer = Affine | Conv | Relu | Pool | Flatten


class LeNet5:
    """The network up to its logits, with the initial weights of the built-in model of one seed."""

    def __init__(self, seed: int) -> None:
        draw = random_weights(seed)
        drawn = [draw(*pair) for pair in enumerate(lenet5(DEFAULTS).parameters)]
        names = ("conv1", "conv2", "fc1", "fc2", "fc3")
        self.affine = {
            name: Affine(drawn[2 * i].reshape(len(drawn[2 * i]), -1), drawn[2 * i + 1])
            for i, name in enumerate(names)
        }
        conv1, conv2, fc1, fc2, fc3 = self.affine.values()
        self.layers: tuple[Layer, ...] = (
            *(Conv(conv1), Relu(), Pool(), Conv(conv2), Relu(), Pool(), Flatten()),
            *(fc1, Relu(), fc2, Relu(), fc3),
        )

    def logits(self, x: Floats) -> Floats:
        """Return the scores before the softmax."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def learn(self, images: Floats, labels: Bytes, rate: float, count: int) -> None:
        """Take one step on a batch, down the slope of its mean cross-entropy."""
        scores = self.logits(images)
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        slope = likely / likely.sum(axis=1, keepdims=True)
        slope[np.arange(len(labels)), labels] -= 1
        slope /= np.float32(len(labels))
        for layer in reversed(self.layers):
            slope = layer.backward(slope)
        for affine in self.affine.values():
            affine.step(rate, count)

    def accuracy(self, images: Floats, labels: Bytes) -> float:
        """Return the share of images whose greatest score is their label's."""
        return float((self.logits(images).argmax(axis=1) == labels).mean())

    def weights(self) -> dict[str, Floats]:
        """Return the weights by the names and shapes of the built-in model."""
        named = {
            f"{name}.{part}": getattr(affine, part)
            for name, affine in self.affine.items()
            for part in ("weight", "bias")
        }
        return {p.name: named[p.name].reshape(p.shape) for p in lenet5(DEFAULTS).parameters}


def held_back_mask(labels: Bytes, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose the same share of every digit."""
    mask = np.zeros(len(labels), bool)
    for digit in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == digit))
        mask[places[: round(HELD_BACK * len(places))]] = True
    return mask


def batches(
    images: Floats, labels: Bytes, rng: np.random.Generator
) -> Iterator[tuple[Floats, Bytes]]:
    """Yield the images once in random order, each moved a little."""
    order = rng.permutation(len(images))
    for begin in range(0, len(order), BATCH):
        chosen = order[begin : begin + BATCH]
        yield moved(images[chosen], rng), labels[chosen]


def moved(images: Floats, rng: np.random.Generator) -> Floats:
    """Move each image by its own random offset; what is uncovered is blank."""
    size = images.shape[-1]
    padded = np.pad(images, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    offsets = rng.integers(0, 2 * SHIFT + 1, (len(images), 2))
    return np.stack(
        [
            image[:, y : y + size, x : x + size]
            for image, (y, x) in zip(padded, offsets, strict=True)
        ]
    )


def train(images: Floats, labels: Bytes, rng: np.random.Generator) -> LeNet5:
    """Train for a fixed number of epochs; the rate falls along half a cosine."""
    network, count = LeNet5(SEED), 0
    for epoch in range(EPOCHS):
        rate = RATE * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2
        for batch in batches(images, labels, rng):
            count += 1
            network.learn(*batch, rate, count)
        print(f"epoch {epoch + 1}: {network.accuracy(images, labels):.4f} of the training digits")
    return network


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=edgesplit.zoo.digits.DATA)
    out: Path = parser.parse_args().out
    bundled = load_digits()
    pixels, labels = bundled.images.astype(np.uint8), bundled.target.astype(np.uint8)
    rng = np.random.default_rng(SEED)
    mask = held_back_mask(labels, rng)
    network = train(as_input(pixels[~mask]), labels[~mask], rng)
    accuracy = network.accuracy(as_input(pixels[mask]), labels[mask])
    np.savez_compressed(out / "digits.npz", images=pixels[mask], labels=labels[mask])
    figures = {"accuracy": np.array(accuracy), "trained_on": np.array(int((~mask).sum()))}
    arrays: dict[str, Any] = {**network.weights(), **figures}
    np.savez_compressed(out / "lenet5.npz", **arrays)
    print(f"{accuracy:.4f} of {mask.sum()} held-back digits")


if __name__ == "__main__":
    main()
