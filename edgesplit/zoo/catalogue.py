"""The built-in models by name: described at once, built on demand into a cache."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from edgesplit.dataflow.table import Port
from edgesplit.errors import ModelError
from edgesplit.spec.model import Preprocessing
from edgesplit.zoo import alexnet, c3d, digits, lenet5, resnet, vgg16, xception, yolov2
from edgesplit.zoo.build import Network, Settings
from edgesplit.zoo.cache import CACHE_VARIABLE
from edgesplit.zoo.write import Weights, random_weights, stored_weights, weight_bytes, write

BUILDER_VERSION = 1
"""Raise it whenever the same settings give another file, so that old caches are left alone."""

_IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_HALVES = Preprocessing(mean=(0.5,), std=(0.5,))


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in model; `trained` holds its own weights, which fit the default settings."""

    network: Callable[[Settings], Network]
    defaults: Settings
    preprocessing: Preprocessing
    labels: tuple[str, ...] = ()
    trained: Path | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What a built-in model takes and gives; `labels` is empty where classes have no names."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    preprocessing: Preprocessing
    labels: tuple[str, ...]


ZOO: Mapping[str, Entry] = MappingProxyType(
    {
        "lenet5": Entry(
            lenet5.lenet5,
            lenet5.DEFAULTS,
            Preprocessing(channels="gray"),
            digits.LABELS,
            digits.DATA / "lenet5.npz",
        ),
        "alexnet": Entry(alexnet.alexnet, alexnet.DEFAULTS, _IMAGENET),
        "vgg16": Entry(vgg16.vgg16, vgg16.DEFAULTS, _IMAGENET),
        "resnet50": Entry(resnet.resnet50, resnet.DEFAULTS, _IMAGENET),
        "resnet152": Entry(resnet.resnet152, resnet.DEFAULTS, _IMAGENET),
        "xception": Entry(xception.xception, xception.DEFAULTS, _HALVES),
        "c3d": Entry(c3d.c3d, c3d.DEFAULTS, Preprocessing()),
        "yolov2": Entry(yolov2.yolov2, yolov2.DEFAULTS, Preprocessing()),
        "yolov2-16": Entry(yolov2.yolov2_16, yolov2.DEFAULTS, Preprocessing()),
    }
)
"""The built-in models by name."""

Parameters = Mapping[str, float | int | str]


def build(name: str, parameters: Parameters, cache: Path) -> Path:
    """Return the ONNX file of a built-in model, built now unless the cache holds it.

    `parameters` are those of `Settings`: width, input, classes, seed. The same ones give the same
    bytes. Safe with several processes at once: a model appears in the cache whole or not at all.

    Raises:
        ModelError: No such model or parameter, a value that makes no model, or a cache that
            can't be written.
    """
    entry, settings = _entry(name), _settings(name, parameters)
    network = entry.network(settings)
    folder = cache / "zoo" / f"{name}-{_digest(name, settings, entry)}"
    try:
        if not _complete(folder, network):
            _install(network, _weights(entry, settings), folder)
    except OSError as error:
        raise ModelError(
            f"can't build {name} into {folder.parent}: {error.strerror or error}",
            remedy=f"free some space, or set {CACHE_VARIABLE} to a folder that has it and is yours",
        ) from error
    return folder / f"{name}.onnx"


def describe(name: str, parameters: Parameters = MappingProxyType({})) -> Description:
    """Return what a built-in model takes and gives, without building it.

    Raises:
        ModelError: No such model or parameter, or a value that makes no model.
    """
    entry, settings = _entry(name), _settings(name, parameters)
    network = entry.network(settings)
    inputs = tuple(Port(tensor.name, tensor.shape, "float32") for tensor in network.inputs)
    outputs = tuple(Port(tensor.name, tensor.shape, "float32") for tensor in network.outputs)
    labels = entry.labels if len(entry.labels) == settings.classes else ()
    return Description(inputs, outputs, entry.preprocessing, labels)


def _entry(name: str) -> Entry:
    if name not in ZOO:
        raise _unknown("built-in model", name, ZOO)
    return ZOO[name]


def _unknown(kind: str, name: str, known: Iterable[str]) -> ModelError:
    names = list(known)
    close = get_close_matches(name, names, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return ModelError(f"no {kind} {name!r}", remedy=f"{guess}there are: {', '.join(names)}")


def _settings(name: str, parameters: Parameters) -> Settings:
    known = [setting.name for setting in fields(Settings)]
    for key, value in parameters.items():
        if key not in known:
            raise _unknown(f"parameter of {name}", key, known)
        _check(name, key, value)
    given = {key: float(value) if key == "width" else value for key, value in parameters.items()}
    return replace(ZOO[name].defaults, **given)  # type: ignore[arg-type]  # checked above


def _check(name: str, key: str, value: float | str) -> None:
    number = math.nan if isinstance(value, bool | str) else value
    if key == "width":
        wanted, fits = "a number above 0, at most 100", 0 < number <= 100
    else:
        least = 0 if key == "seed" else 1
        wanted = f"a whole number from {least} up"
        fits = isinstance(number, int) and number >= least
    if not fits:
        raise ModelError(f"{key} of {name} is {value!r}", remedy=f"give {wanted}")


def _digest(name: str, settings: Settings, entry: Entry) -> str:
    text = json.dumps([BUILDER_VERSION, name, asdict(settings)], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    trained = _trained(entry, settings)
    if trained is not None:
        digest.update(trained.read_bytes())
    return digest.hexdigest()[:16]


def _weights(entry: Entry, settings: Settings) -> Weights:
    trained = _trained(entry, settings)
    if trained is not None:
        return stored_weights(trained)
    return random_weights(settings.seed or 0)


def _trained(entry: Entry, settings: Settings) -> Path | None:
    return entry.trained if settings == entry.defaults else None


def _complete(folder: Path, network: Network) -> bool:
    weights = folder / f"{network.name}.weights"
    if not (folder / f"{network.name}.onnx").is_file() or not weights.is_file():
        return False
    return weights.stat().st_size == weight_bytes(network)


def _check_space(network: Network, folder: Path) -> None:
    needed, free = weight_bytes(network), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"its weights take {needed / 2**20:,.0f} MiB and {free / 2**20:,.0f} MiB are free",
        )


def _install(network: Network, weights: Weights, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_space(network, folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{network.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        made.chmod(0o755)  # As the files in it: another user's executor may read it.
        write(network, weights, made)
        try:
            made.rename(folder)
        except OSError:  # A folder is there: another process was faster, or it is damaged.
            if not _complete(folder, network):
                folder.rename(Path(scratch) / "damaged")
                made.rename(folder)
