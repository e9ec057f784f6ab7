"""What the user wants to run, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Activations = Literal["float32", "float16", "uint8"]
"""In what type floats travel between devices."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes the model's input: `(pixel * scale - mean) / std`, per channel.

    `size` is (height, width) in pixels; `channels` the order the model was trained with. With
    `dtype` uint8 pixels travel as they are, and the first shards do the arithmetic.
    """

    size: tuple[int, int] | None = None
    channels: Literal["RGB", "BGR", "gray"] = "RGB"
    scale: float = 1.0 / 255.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dtype: Literal["float32", "uint8"] = "float32"


@dataclass(frozen=True, slots=True)
class Pin:
    """What the user decided for a layer, or a run of layers; None leaves it to the planner.

    `layer` is the name of the pin: a layer's, or `first..last`, or anything where `layers` says
    which they are, in the same words. The layers of a run share their devices. `devices` hold the
    data shards in this order, `parity` is the number of parity devices or their names. `where` is
    the place in the model file.
    """

    layer: str
    devices: tuple[str, ...] | None = None
    split: Literal["whole", "output", "input", "spatial"] | None = None
    parity: int | tuple[str, ...] | None = None
    layers: tuple[str, ...] = ()
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the model comes from: an ONNX file, or a zoo name with its parameters."""

    path: Path | None = None
    zoo: str | None = None
    parameters: tuple[tuple[str, float | int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model file. `parity` is the number of parity devices per split stage.

    With `activations` other than float32 what travels between devices is rounded, and so are
    answers: float16 is half of the bytes, uint8 a quarter. `calibration` are inputs whose
    activations uint8 must reach. `deadline` is in seconds from admission; `window` is the number of
    requests that a gateway may have open.
    """

    source: Source
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: Path | None = None
    objective: Literal["latency", "throughput"] = "latency"
    parity: int = 1
    activations: Activations = "float32"
    calibration: tuple[Path, ...] = ()
    deadline: float = 10.0
    window: int = 8
    pins: tuple[Pin, ...] = ()
