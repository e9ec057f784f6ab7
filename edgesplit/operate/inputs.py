"""A request's inputs from files, and its outputs into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgesplit.dataflow.table import Port
from edgesplit.errors import InputMismatch
from edgesplit.files import replacing
from edgesplit.operate.requests import Array, Arrays
from edgesplit.plan.file import load_allocation
from edgesplit.zoo.inputs import load_input
from edgesplit.zoo.model_file import labels_of, preprocessing_of


def read_inputs(allocation: Path, ports: tuple[Port, ...], sources: Sequence[str]) -> Arrays:
    """Return the inputs that `FILE` (one input) or `NAME=FILE` (several) name.

    Raises:
        InputMismatch: A file or a name doesn't fit what the model takes.
    """
    preprocessing = preprocessing_of(load_allocation(allocation).model)
    files = dict(_named(source, ports) for source in sources)
    known = {port.name: port for port in ports}
    strange = ", ".join(sorted(set(files) - set(known)))
    if strange:
        raise InputMismatch(
            f"the model has no input {strange}", remedy=f"it takes {', '.join(known)}"
        )
    return {name: load_input(path, known[name], preprocessing) for name, path in files.items()}


def labels(allocation: Path) -> Sequence[str]:
    """Return the names of the model's classes; empty where none are known."""
    return labels_of(load_allocation(allocation).model)


def save_outputs(outputs: dict[str, Array] | Arrays, path: Path) -> None:
    """Write outputs as .npz; a file that was there stays until the new one is whole."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **dict(outputs))  # type: ignore[arg-type]  # its stub has a flag in the way


def _named(source: str, ports: tuple[Port, ...]) -> tuple[str, Path]:
    name, separator, file = source.partition("=")
    if separator and any(port.name == name for port in ports):
        return name, Path(file)
    return ports[0].name, Path(source)
