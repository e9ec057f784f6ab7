"""Files as inputs of a model, and its scores as labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edgesplit.dataflow.table import Port
from edgesplit.errors import InputMismatch, UsageError
from edgesplit.spec.model import Preprocessing

Array = NDArray[Any]

_BOMB = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError)
"""What Pillow raises on files that are cut short or have absurd headers."""


def load_input(path: Path, port: Port, preprocessing: Preprocessing) -> Array:
    """Read a file as one input of a model.

    An `.npy` file must have the port's dtype and shape; a batch axis of 1 may be missing. Any
    other file is taken as an image, for ports of shape (1, channels, height, width).

    Raises:
        UsageError: The file can't be read.
        InputMismatch: What is in it isn't what the model takes.
    """
    if not path.is_file():
        raise UsageError(f"there is no input file {path}", remedy="give an .npy file or an image")
    if path.suffix.lower() == ".npy":
        return _load_array(path, port)
    return _load_image(path, port, preprocessing)


def top_k(scores: Array, k: int, labels: Sequence[str] = ()) -> list[tuple[str, float]]:
    """Return the k greatest scores with their labels, greatest first; a NaN counts as least.

    Scores of any shape are taken in flat order; a score without a label bears its index.
    """
    flat = np.ravel(scores)
    best = np.argsort(-flat.astype(np.float64), kind="stable")[:k]
    return [(labels[i] if i < len(labels) else str(i), float(flat[i])) for i in best.tolist()]


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a file with one label a line, the first for class 0.

    Raises:
        UsageError: The file is missing or isn't UTF-8 text.
    """
    try:
        return tuple(line.strip() for line in path.read_text("utf-8").rstrip().split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"can't read the labels in {path}: {error}",
            remedy="give a UTF-8 text file with one label a line",
        ) from error


def _load_array(path: Path, port: Port) -> Array:
    try:
        # Mapped, so that a header promising terabytes costs nothing before it is compared.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error, "save it with numpy.save, without objects") from error
    if not isinstance(array, np.ndarray):
        raise InputMismatch(f"{path} holds several arrays", remedy="save one with numpy.save")
    if (1, *array.shape) == port.shape:
        array = array[None]
    if array.shape != port.shape or array.dtype != np.dtype(port.dtype):
        raise _mismatch(path, port, f"{array.dtype} {array.shape}")
    return np.array(array, order="C")


def _load_image(path: Path, port: Port, preprocessing: Preprocessing) -> Array:
    channels = _image_channels(path, port)
    size = preprocessing.size or port.shape[2:]
    if (1, channels, *size) != port.shape:
        found = f"images resized to {size[0]} x {size[1]}"
        raise _mismatch(path, port, found, "mend `size`, or leave it out")
    pixels = _pixels(path, "L" if channels == 1 else "RGB", (size[1], size[0]))
    if preprocessing.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(_scaled(pixels, port, preprocessing).transpose(2, 0, 1)[None])


def _image_channels(path: Path, port: Port) -> int:
    kind = np.dtype(port.dtype)
    image = len(port.shape) == 4 and port.shape[:2] in {(1, 1), (1, 3)}
    if not image or not (kind.kind == "f" or kind == np.uint8):
        raise _mismatch(
            path, port, "an image (1 or 3 channels, height, width)", "give an .npy file"
        )
    return port.shape[1]


def _pixels(path: Path, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return [height, width, channels]; `size` is (width, height), as Pillow has it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert(mode)
                pixels = np.asarray(upright.resize(size, Image.Resampling.BILINEAR))
    except _BOMB as error:
        raise _unreadable(path, error, "scale it down first") from error
    except UnidentifiedImageError as error:
        raise _unreadable(path, error, "give an .npy file, or an image such as PNG") from error
    except _DAMAGED as error:
        raise _unreadable(path, error, "the image is damaged: save it anew") from error
    return pixels.reshape(*pixels.shape[:2], -1)


def _scaled(pixels: NDArray[np.uint8], port: Port, preprocessing: Preprocessing) -> Array:
    if port.dtype == "uint8":
        return pixels  # The model itself does what there is to do.
    mean = _per_channel("mean", preprocessing.mean or (0.0,), port)
    std = _per_channel("std", preprocessing.std or (1.0,), port)
    scaled = (pixels * preprocessing.scale - mean) / std
    return scaled.astype(port.dtype)


def _per_channel(name: str, values: tuple[float, ...], port: Port) -> NDArray[np.float64]:
    if len(values) not in {1, port.shape[1]}:
        raise InputMismatch(
            f"`{name}` has {len(values)} values, but input {port.name!r} {port.shape[1]} channels",
            remedy=f"give one value for `{name}`, or one per channel",
        )
    return np.array(values)


def _mismatch(path: Path, port: Port, found: str, remedy: str = "") -> InputMismatch:
    wanted = f"{port.dtype} {port.shape}"
    return InputMismatch(
        f"input {port.name!r} takes {wanted}, but {path} gives {found}",
        remedy=remedy or f"convert it to {wanted}",
    )


def _unreadable(path: Path, error: Exception, remedy: str) -> InputMismatch:
    return InputMismatch(f"can't read {path}: {error}", remedy=remedy)
