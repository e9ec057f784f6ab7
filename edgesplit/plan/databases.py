"""The cost databases in files: one for each class of devices, for people to read as well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import yaml
from pydantic import Field

from edgesplit.cost.crowd import Crowd
from edgesplit.cost.database import ANY, Database, Point, Rate, Session
from edgesplit.cost.kernel import Kernel
from edgesplit.files import replacing
from edgesplit.spec.cluster import Device, Link
from edgesplit.spec.located import load_yaml
from edgesplit.spec.validate import Finding, Section, examine, refuse, validate

FORMAT = 1

THIS_MACHINE = "this-machine"
"""The class of devices that are cores of the machine that edgesplit runs on."""

_GENERIC = "generic"
_SUFFIX = ".yaml"

_HEADER = """\
# What kernels cost on one class of devices, measured there by `edgesplit profile`.
# Times are seconds, links bytes a second; kernels were timed while the device was at its fastest,
# by a small convolution that was timed beside. `run` is what a session costs beside its kernels,
# `step` a task beside its session, `message` each end of a message; `crowds` are, by cluster,
# [devices at work, seconds of an end of a message then, and of each byte of it].
# A line says how an operator's time grows: start + mac * macs + weight * weight bytes
# + moved * bytes of activations read and made; `error` is its mean relative distance from the
# kernels it was fitted to.
# Kernels, by operator and form: [elements made, macs, weight bytes, moved bytes, seconds].
# Sessions are shards of plans: what several kernels take in one session.
# Delete the file to measure anew.
"""

_Count = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Crowd = tuple[Annotated[int, Field(gt=0)], _Count, _Count]
_Row = tuple[Annotated[int, Field(ge=0)], _Count, _Count, _Count, _Seconds]


class LineSection(Section):
    """A fitted line."""

    start: _Count = 0.0
    mac: _Count = 0.0
    weight: _Count = 0.0
    moved: _Count = 0.0
    error: _Count = 0.0
    points: Annotated[int, Field(ge=0)] = 0


class LinkSection(Section):
    """A measured link: payload bytes a second, and seconds one way."""

    bandwidth: _Seconds
    latency: _Count


class SessionSection(Section):
    """Kernels that were measured in one session: each with its operator, form and counts."""

    seconds: _Seconds
    kernels: tuple[tuple[str, str, int, _Count, _Count, _Count], ...]


class DatabaseFile(Section):
    """The file of one class of devices."""

    edgesplit: Literal[1]
    device: str
    machine: str = ""
    run: _Count = 0.0
    step: _Count | None = None
    message: _Count | None = None
    crowds: dict[str, tuple[_Crowd, ...]] = Field(default_factory=dict)
    links: dict[str, dict[str, LinkSection]] = Field(default_factory=dict)
    models: dict[str, _Seconds] = Field(default_factory=dict)
    lines: dict[str, LineSection] = Field(default_factory=dict)
    kernels: dict[str, dict[str, tuple[_Row, ...]]] = Field(default_factory=dict)
    sessions: tuple[SessionSection, ...] = ()


def class_of(device: Device) -> str:
    """Return the class of a device: devices of one class are taken to be equally fast.

    Boards are of their profile's class. A paced device imitates another speed on a core of this
    machine, so its kernels are this machine's; a generic one is only like itself.
    """
    cores = device.cores if device.pace is None else 1
    if device.pace is not None or device.connection == "local":
        return THIS_MACHINE if cores == 1 else f"{THIS_MACHINE}-{cores}-cores"
    board = device.host if device.profile == _GENERIC else device.profile
    return f"{board}-{cores}-cores"


def load_databases(folder: Path) -> Mapping[str, Database]:
    """Return the databases in a folder by class; none where there is no such folder.

    Raises:
        SpecError: A file can't be read as YAML.
        SpecErrors: All that is wrong with what a file says, each with its place.
    """
    found = map(load_database, sorted(folder.glob(f"*{_SUFFIX}")))
    return {database.name: database for database in found}


def load_database(path: Path) -> Database:
    """Read the database of one class; errors as of `load_databases`."""
    file = _quickly(path)
    if file is None:
        located = load_yaml(path)
        file = validate(DatabaseFile, located)
        refuse(located, _unfitted(file))
    return Database(
        name=file.device,
        machine=file.machine,
        points=tuple(_points(file)),
        sessions=tuple(
            Session(tuple(Kernel(*kernel) for kernel in one.kernels), one.seconds)
            for one in file.sessions
        ),
        rates={op: Rate(**dict(line)) for op, line in file.lines.items()},
        models=file.models,
        run=file.run,
        step=file.step,
        message=file.message,
        crowds={
            cluster: tuple(sorted((Crowd(*one) for one in crowds), key=lambda one: one.devices))
            for cluster, crowds in file.crowds.items()
        },
        links={
            cluster: {end: Link(link.bandwidth, link.latency) for end, link in links.items()}
            for cluster, links in file.links.items()
        },
    )


def save_database(database: Database, folder: Path) -> Path:
    """Write a database into a folder and return its file; what was there stays until it is whole.

    Raises:
        OSError: It can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = database_path(database.name, folder)
    text = yaml.safe_dump(
        _plain(database), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )
    with replacing(path) as partial:
        partial.write_text(_HEADER + text, encoding="utf-8")
    return path


def database_path(name: str, folder: Path) -> Path:
    """Return the file of a class; an address may hold what a file name can't."""
    return folder / f"{quote(name, safe='')}{_SUFFIX}"


def _quickly(path: Path) -> DatabaseFile | None:
    """Read a file without the places of its values, fifty times faster; None if it is wrong."""
    try:
        plain = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    file, _ = examine(DatabaseFile, plain)
    return None if file is None or any(_unfitted(file)) else file


def _unfitted(file: DatabaseFile) -> Iterator[Finding]:
    """Yield a finding for every operator that has kernels and no line, and if there is none."""
    for op in {ANY, *file.kernels} if file.kernels or file.sessions else ():
        if op not in file.lines:
            what = f"no line was fitted for {op!r}"
            yield Finding(("lines",), what, "delete the file and run `edgesplit profile` again")


def _points(file: DatabaseFile) -> Iterator[Point]:
    for op, forms in file.kernels.items():
        for form, rows in forms.items():
            for *kernel, seconds in rows:
                yield Point(Kernel(op, form, int(kernel[0]), *kernel[1:]), seconds)


def _plain(database: Database) -> dict[str, Any]:
    told = {
        "edgesplit": FORMAT,
        "device": database.name,
        "machine": database.machine,
        "run": database.run,
        "step": database.step,
        "message": database.message,
        "crowds": {
            cluster: [list(astuple(one)) for one in crowds]
            for cluster, crowds in database.crowds.items()
        },
        "links": {
            cluster: {end: asdict(link) for end, link in links.items()}
            for cluster, links in database.links.items()
        },
        "models": dict(database.models),
        "lines": {op: asdict(rate) for op, rate in database.rates.items()},
        "kernels": _kernels(database),
        "sessions": [_session(one) for one in database.sessions],
    }
    return {key: value for key, value in told.items() if value not in (None, {}, [])}


def _session(one: Session) -> dict[str, Any]:
    rows = [[k.op, k.form, k.size, *map(_short, (k.macs, k.weights, k.moved))] for k in one.kernels]
    return {"seconds": one.seconds, "kernels": rows}


def _kernels(database: Database) -> dict[str, dict[str, list[list[float]]]]:
    found: defaultdict[str, defaultdict[str, list[list[float]]]]
    found = defaultdict(lambda: defaultdict(list))
    for point in database.points:
        one = point.kernel
        counts = map(_short, (one.macs, one.weights, one.moved))
        found[one.op][one.form].append([one.size, *counts, point.seconds])
    return {
        op: {form: sorted(rows) for form, rows in sorted(forms.items())}
        for op, forms in sorted(found.items())
    }


def _short(count: float) -> float:
    """Return a whole number without its point: that is what counts are, and reads better."""
    return int(count) if float(count).is_integer() else count
