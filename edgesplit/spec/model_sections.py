"""The sections of a model file, as they are written."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from edgesplit.spec import fields
from edgesplit.spec.model import Activations
from edgesplit.spec.suggest import did_you_mean, one_of, shown
from edgesplit.spec.validate import Section, wrong

ZOO = (
    "lenet5",
    "alexnet",
    "vgg16",
    "resnet50",
    "resnet152",
    "xception",
    "c3d",
    "yolov2",
    "yolov2-16",
)
"""Models that are built in."""

_ZOO_PREFIX = "zoo:"
_MOST_PARITY = 4
_MOST_WINDOW = 64
_SPLITS = ("whole", "output", "input", "spatial")
_COLOURS = {"RGB": 3, "BGR": 3, "gray": 1}


def _zoo_name(value: object) -> str:
    return one_of(fields.text(value), ZOO, "a model of the zoo")


def _source(value: object) -> object:
    """Return the mapping that a source written as text stands for."""
    if value is None or isinstance(value, dict):
        return value
    words = fields.text(value)
    if words.startswith(_ZOO_PREFIX):
        return {"zoo": words.removeprefix(_ZOO_PREFIX).strip()}
    if words in ZOO:
        raise ValueError(f"{words!r} could be a file or a model of the zoo: write zoo:{words}")
    return {"path": words}


def _listed(value: object) -> object:
    """Return a list for a single device too, so that it needs no brackets."""
    return [value] if isinstance(value, str) else value


def _size(value: object) -> object:
    """Return height and width; one number is a square."""
    sides = value if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2:
        raise ValueError(f"{shown(value)} is not a size: expected [height, width] in pixels")
    return [fields.whole(1, 65535)(side) for side in sides]


def _scale(value: object) -> float:
    factor = fields.number(value)
    if not factor:
        raise ValueError("0 would erase every pixel: expected a factor such as 1/255")
    return factor


def _parity(value: object) -> int | tuple[str, ...]:
    """Return a number of parity devices, or their names."""
    if not isinstance(value, str | list | tuple):
        return fields.whole(0, _MOST_PARITY)(value)
    names = (value,) if isinstance(value, str) else tuple(value)
    if len(names) > _MOST_PARITY:
        raise ValueError(f"{len(names)} parity devices are named: expected at most {_MOST_PARITY}")
    return tuple(fields.device_name(name) for name in names)


class SourceSection(Section):
    """An ONNX file, or a model of the zoo with its parameters (width, input, seed, ...)."""

    model_config = ConfigDict(extra="allow")

    path: fields.Text | None = Field(default=None, description="ONNX file, relative to this file.")
    zoo: Annotated[str, BeforeValidator(_zoo_name), WithJsonSchema({"enum": list(ZOO)})] | None = (
        Field(default=None, description="Model of the zoo; further keys are its parameters.")
    )

    @property
    def parameters(self) -> dict[str, Any]:
        """The zoo model's parameters, in the order of the file."""
        return self.model_extra or {}

    @model_validator(mode="after")
    def _check(self) -> SourceSection:
        if self.path is None and self.zoo is None:
            raise ValueError("expected `path:` with an ONNX file, or `zoo:` with a model's name")
        if self.path is not None and self.zoo is not None:
            raise wrong("path", "a source is a file or a model of the zoo, not both")
        for name, value in self.parameters.items():
            self._check_parameter(name, value)
        return self

    def _check_parameter(self, name: str, value: object) -> None:
        if self.path is not None:
            hint = did_you_mean(name, type(self).model_fields)
            raise wrong(name, f"an ONNX file takes no parameters{hint}")
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        if not plain or (isinstance(value, float) and not math.isfinite(value)):
            raise wrong(name, f"{shown(value)} can't be a parameter: expected a number or text")


class InputSection(Section):
    """How an image becomes the model's input: `(pixel * scale - mean) / std`, per channel."""

    size: (
        Annotated[
            tuple[int, int], BeforeValidator(_size, json_schema_input_type=int | tuple[int, int])
        ]
        | None
    ) = Field(
        default=None, description="Height and width in pixels; what the model takes by default."
    )
    channels: Annotated[
        Literal["RGB", "BGR", "gray"], BeforeValidator(fields.chosen(_COLOURS, "a channel order"))
    ] = Field(default="RGB", description="The order of channels that the model was trained with.")
    scale: Annotated[float, BeforeValidator(_scale), fields.NUMBER_SCHEMA] = Field(
        default=1.0 / 255.0, description="Factor from a pixel's 0..255; fractions are understood."
    )
    mean: tuple[fields.Number, ...] = Field(
        default=(), description="Subtracted after scaling, one number per channel."
    )
    std: tuple[fields.Positive, ...] = Field(
        default=(), description="Divided by at the end, one number per channel."
    )
    dtype: Annotated[
        Literal["float32", "uint8"], BeforeValidator(fields.chosen(("float32", "uint8"), "a type"))
    ] = Field(
        default="float32",
        description="How images travel: uint8 is a quarter of the bytes, and exact for pixels.",
    )

    @model_validator(mode="after")
    def _check(self) -> InputSection:
        count = _COLOURS[self.channels]
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, count):
                raise wrong(key, f"{len(values)} numbers for {self.channels}: expected {count}")
        return self


class PinSection(Section):
    """What you decide for layers that share devices; what is left out is left to the planner."""

    layers: Annotated[
        tuple[fields.Text, ...],
        BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...]),
    ] = Field(
        default=(), description="Layers in a row, or first..last; what the pin's name says if not."
    )
    split: (
        Annotated[
            Literal["whole", "output", "input", "spatial"],
            BeforeValidator(fields.chosen(_SPLITS, "a split")),
        ]
        | None
    ) = Field(
        default=None,
        description="Keep the layers whole, or split each on its outputs, inputs or in tiles.",
    )
    devices: (
        Annotated[
            tuple[fields.DeviceName, ...],
            BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...]),
        ]
        | None
    ) = Field(default=None, description="Devices of the data shards, in this order.")
    parity: (
        Annotated[
            int | tuple[str, ...],
            BeforeValidator(_parity, json_schema_input_type=int | str | tuple[str, ...]),
        ]
        | None
    ) = Field(default=None, description="Number of parity devices, or their names.")

    @model_validator(mode="after")
    def _check(self) -> PinSection:
        data = self.devices or ()
        coded = self.parity if isinstance(self.parity, tuple) else ()
        if self.devices == ():
            raise wrong("devices", "no device is named: name one, or leave the key out")
        for key, names in (("devices", data), ("parity", (*coded,))):
            if len(set(names)) < len(names):
                raise wrong(key, f"a device is named twice: {', '.join(names)}")
        if both := set(data) & set(coded):
            raise wrong("parity", f"{min(both)!r} holds data already: expected another device")
        if self.split == "whole" and (len(data) > 1 or self.parity):
            raise wrong("split", "a whole layer has one device and no parity: expected output")
        if self.split in {"input", "spatial"} and self.parity:
            raise wrong("split", "parity protects output blocks alone: expected output")
        return self


class ModelFile(Section):
    """The model to run, and how."""

    source: Annotated[
        SourceSection, BeforeValidator(_source, json_schema_input_type=str | SourceSection)
    ] = Field(description="zoo:NAME, an ONNX file, or a mapping with `zoo` or `path`.")
    input: InputSection = Field(
        default=InputSection(), description="How an image becomes the model's input."
    )
    labels: fields.Text | None = Field(
        default=None, description="File with the name of one class per line."
    )
    objective: Annotated[
        Literal["latency", "throughput"],
        BeforeValidator(fields.chosen(("latency", "throughput"), "an objective")),
    ] = Field(default="latency", description="What the planner makes best.")
    parity: Annotated[
        int,
        BeforeValidator(fields.whole(0, _MOST_PARITY)),
        WithJsonSchema({"type": "integer", "minimum": 0, "maximum": _MOST_PARITY}),
    ] = Field(default=1, description="Parity devices per split stage.")
    activations: Annotated[
        Activations,
        BeforeValidator(fields.chosen(get_args(Activations), "a type for activations")),
    ] = Field(
        default="float32",
        description="How floats travel between devices: float16 halves their bytes, uint8 quarters "
        "them, and either rounds the answers.",
    )
    calibration: Annotated[
        tuple[fields.Text, ...],
        BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...]),
    ] = Field(
        default=(),
        description="Images or .npy files whose activations uint8 must be able to stand for.",
    )
    deadline: fields.Patience = Field(
        default=10.0,
        json_schema_extra={"default": "10 s"},
        description="A request without an answer by then counts as lost.",
    )
    window: Annotated[
        int,
        BeforeValidator(fields.whole(1, _MOST_WINDOW)),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _MOST_WINDOW}),
    ] = Field(default=8, description="Requests that one gateway may have open.")
    pins: dict[str, PinSection] = Field(
        default={}, description="What you decide, by a layer's name, first..last, or any name."
    )
