"""A Python for devices whose own has no ONNX Runtime: made there of wheels from here."""

from __future__ import annotations

from collections.abc import Mapping

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.push import push_all
from edgesplit.deploy.station import Station
from edgesplit.deploy.steps import Progress, Step
from edgesplit.deploy.wheelhouse import ALLOWED, Version, Wheelhouse, blob_name, resolve
from edgesplit.errors import HostError
from edgesplit.runtime.venvs import COMPLETE, PYTHON
from edgesplit.zoo.cache import cache_folder

Outfit = Mapping[str, Wheelhouse]
"""What is to be installed, by name of each device that edgesplit gives a Python."""

_SECONDS = 30.0
# Unpacked and compiled, the packages take this many times the wheels' bytes, the wheels included.
_GROWTH = 5


def choose(crew: Crew, progress: Progress) -> Outfit:
    """Say of every device which Python its executor gets; nothing is changed there.

    Wheels that were never asked for are downloaded to this machine's cache.

    Raises:
        EdgesplitError: A device can't be reached, or there are no wheels for it.
    """
    bare = crew.only([name for name, one in crew.stations.items() if one.bare])
    kinds = bare.each(_kind)
    houses = {
        kind: resolve(*kind, cache_folder(), lambda: progress(Step("", "provision")))
        for kind in sorted(set(kinds.values()))
    }
    outfit = {name: houses[kind] for name, kind in kinds.items()}
    for name, house in outfit.items():
        station = bare.stations[name]
        station.interpreter = f"{_venv(station, house)}/{PYTHON}"
    return outfit


def provision(crew: Crew, outfit: Outfit, progress: Progress) -> int:
    """Give every device the Python that was chosen for it; return the bytes that moved.

    Raises:
        EdgesplitError: A device failed; what was uploaded to it is kept.
    """
    progress(Step("", "provision"))
    ready = crew.only(outfit).each(lambda station: _is_there(station, outfit))
    todo = crew.only([name for name, there in ready.items() if not there])
    todo.each(lambda station: _check_space(station, outfit[station.device.name]))
    files = {name: outfit[name].blobs for name in todo.stations}
    moved = push_all(todo, files, lambda *told: progress(Step(told[0], "provision", *told[1:])))
    todo.each(lambda station: _build(station, outfit[station.device.name]))
    for name in outfit:
        crew.stations[name].python = crew.stations[name].interpreter
    return sum(moved.values())


def _kind(station: Station) -> tuple[str, Version]:
    """Return the architecture and Python version of a device."""
    return station.found.machine, station.found.python


def _venv(station: Station, house: Wheelhouse) -> str:
    return f"{station.found.root}/venvs/{house.digest}"


def _is_there(station: Station, outfit: Outfit) -> bool:
    mark = f"{_venv(station, outfit[station.device.name])}/{COMPLETE}"
    return station.host.run(["test", "-e", mark], timeout=_SECONDS).code == 0


def _check_space(station: Station, house: Wheelhouse) -> None:
    needed, free = house.nbytes * _GROWTH, station.found.free
    if needed > free:
        raise HostError(
            f"the disk is too full for its Python: {needed / 1e6:.0f} MB needed, "
            f"{free / 1e6:.1f} MB free",
            where=station.device.name,
            remedy=f"free some space, or set the device's `root` (now {station.found.root}) "
            "elsewhere, or `python` to an interpreter that has what is needed",
        )


def _build(station: Station, house: Wheelhouse) -> None:
    order = {
        "wheels": {name: blob_name(digest) for name, digest in house.digests.items()},
        "installer": house.installer,
        "wanted": [*ALLOWED],
    }
    station.call("equip", house.digest, order=order)
