"""The model file: what it means, and the file that a model specification is written as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgesplit.spec.cluster import Cluster
from edgesplit.spec.located import Located, load_yaml
from edgesplit.spec.model import ModelSpec, Pin, Preprocessing, Source
from edgesplit.spec.model_sections import ModelFile, PinSection, SourceSection
from edgesplit.spec.paths import from_folder, on_this_machine
from edgesplit.spec.suggest import did_you_mean
from edgesplit.spec.units import DURATION
from edgesplit.spec.validate import Finding, refuse, validate

_LARGEST_DIVISOR = 65535  # What images of 16 bits a channel are scaled by.


def load_model(path: Path) -> ModelSpec:
    """Read a model file; relative paths in it are relative to it.

    Raises:
        SpecError: The file can't be read as YAML.
        SpecErrors: All that is wrong with what it says, each with its place.
    """
    return parse_model(load_yaml(path))


def parse_model(source: Located | Mapping[str, object], folder: Path | None = None) -> ModelSpec:
    """Return the model of a located value, or of a plain mapping whose paths are in `folder`.

    Raises:
        SpecErrors: All that is wrong with it, each with its place.
    """
    located = Located.of(source, folder)
    file = validate(ModelFile, located)
    return ModelSpec(
        source=_source(file.source, located.folder),
        preprocessing=Preprocessing(**file.input.model_dump()),
        labels=on_this_machine(file.labels, located.folder) if file.labels else None,
        objective=file.objective,
        parity=file.parity,
        activations=file.activations,
        calibration=tuple(on_this_machine(path, located.folder) for path in file.calibration),
        deadline=file.deadline,
        window=file.window,
        pins=tuple(
            _pin(name, pin, located.where(("pins", name), key=True))
            for name, pin in file.pins.items()
        ),
    )


def check_pins(cluster: Cluster, spec: ModelSpec, located: Located | None = None) -> None:
    """Check that the devices that pins name are in the cluster.

    `located` is the model file or the section that the specification came from.

    Raises:
        SpecErrors: Every device that is named and isn't there.
    """
    refuse(located or Located({}), _strangers(cluster, spec))


def model_to_plain(spec: ModelSpec, relative_to: Path) -> dict[str, Any]:
    """Return the mapping that `parse_model` reads back from a file in the folder `relative_to`."""
    plain = {
        "source": _plain_source(spec.source, relative_to),
        "input": _plain_input(spec.preprocessing),
        "labels": from_folder(spec.labels, relative_to) if spec.labels else None,
        "objective": spec.objective,
        "parity": spec.parity,
        "activations": spec.activations if spec.activations != "float32" else None,
        "calibration": [from_folder(path, relative_to) for path in spec.calibration] or None,
        "deadline": DURATION.write_exactly(spec.deadline),
        "window": spec.window,
        "pins": {pin.layer: _plain_pin(pin) for pin in spec.pins} or None,
    }
    return {key: value for key, value in plain.items() if value is not None}


def _source(section: SourceSection, folder: Path) -> Source:
    path = on_this_machine(section.path, folder) if section.path else None
    return Source(path=path, zoo=section.zoo, parameters=tuple(section.parameters.items()))


def _pin(name: str, section: PinSection, where: str) -> Pin:
    return Pin(name, section.devices, section.split, section.parity, section.layers, where)


def _strangers(cluster: Cluster, spec: ModelSpec) -> Iterator[Finding]:
    known = [device.name for device in cluster.devices]
    for pin in spec.pins:
        coded = pin.parity if isinstance(pin.parity, tuple) else ()
        for key, names in (("devices", pin.devices or ()), ("parity", coded)):
            for index, name in enumerate(names):
                if name not in known:
                    yield _stranger(("pins", pin.layer, key, index), name, cluster)


def _stranger(path: tuple[str | int, ...], name: str, cluster: Cluster) -> Finding:
    known = [device.name for device in cluster.devices]
    hint = did_you_mean(name, known)
    what = f"{name!r} is not a device of the cluster {cluster.name!r}{hint}"
    return Finding(path, what, f"use one of: {', '.join(known)}")


def _plain_source(source: Source, folder: Path) -> str | dict[str, Any]:
    if source.path is not None:
        return from_folder(source.path, folder)
    if source.parameters:
        return {"zoo": source.zoo, **dict(source.parameters)}
    return f"zoo:{source.zoo}"


def _plain_input(how: Preprocessing) -> dict[str, Any] | None:
    if how == Preprocessing():
        return None
    plain = {
        "size": list(how.size) if how.size else None,
        "channels": how.channels,
        "scale": _plain_scale(how.scale),
        "mean": list(how.mean) or None,
        "std": list(how.std) or None,
        "dtype": how.dtype if how.dtype != "float32" else None,
    }
    return {key: value for key, value in plain.items() if value is not None}


def _plain_scale(scale: float) -> float | str:
    divisor = round(1 / scale) if abs(scale) * _LARGEST_DIVISOR >= 1 else 0
    return f"1/{divisor}" if divisor > 1 and 1 / divisor == scale else scale


def _plain_pin(pin: Pin) -> dict[str, Any]:
    parity = list(pin.parity) if isinstance(pin.parity, tuple) else pin.parity
    devices = list(pin.devices) if pin.devices is not None else None
    layers = list(pin.layers) or None
    plain = {"layers": layers, "split": pin.split, "devices": devices, "parity": parity}
    return {key: value for key, value in plain.items() if value is not None}
