"""Which faults a lab has now: a file beside what its hosts have, so it goes with them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesplit.errors import LabError
from edgesplit.files import replacing
from edgesplit.lab.bed import HOSTS, Lab
from edgesplit.lab.faults.fault import Fault, Injected, Kind
from edgesplit.runtime.processes import Process

_FILE = "faults.json"


def active(lab: Lab) -> tuple[Injected, ...]:
    """Return the faults that a lab has now, the oldest first.

    Raises:
        LabError: What is remembered of them is damaged.
    """
    path = _path(lab)
    if not path.exists():
        return ()
    try:
        return tuple(map(_injected, json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, TypeError, KeyError) as error:
        raise LabError(
            f"the list of the lab's faults is damaged ({error})",
            where=str(path),
            remedy="make the lab again: edgesplit lab down, then edgesplit lab up",
        ) from error


def remember(lab: Lab, injected: Injected) -> None:
    """Put a fault on the list, in the place of one of the same place."""
    _write(lab, [*_others(lab, injected.fault), injected])


def forget(lab: Lab, fault: Fault) -> None:
    """Take a fault off the list."""
    _write(lab, _others(lab, fault))


@contextmanager
def held(lab: Lab) -> Iterator[None]:
    """Keep others from changing the lab's faults meanwhile; they wait."""
    folder = os.open(lab.folder / HOSTS, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _others(lab: Lab, fault: Fault) -> Iterator[Injected]:
    return (each for each in active(lab) if each.fault.same_place != fault.same_place)


def _write(lab: Lab, faults: Iterable[Injected]) -> None:
    text = json.dumps([asdict(each) for each in faults], indent=1) + "\n"
    with replacing(_path(lab)) as path:
        path.write_text(text, encoding="utf-8")


def _path(lab: Lab) -> Path:
    return lab.folder / HOSTS / _FILE


def _injected(plain: dict[str, Any]) -> Injected:
    fault = Fault(**plain["fault"] | {"kind": Kind(plain["fault"]["kind"])})
    return Injected(fault, tuple(Process(**each) for each in plain["hit"]))
