"""`lab up` ends at some moment, in some way; `lab down` leaves nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lab_bed import edgesplit, fresh_name, need, traces

from edgesplit.lab.bed import Level
from edgesplit.lab.down import take_down
from edgesplit.lab.hierarchy import find_hierarchies

pytestmark = pytest.mark.lab

Moment = Callable[[str, Path], bool]
_HOSTS = 6


def described(_: str, folder: Path) -> bool:
    return (folder / "lab.json").exists()


def keyed(_: str, folder: Path) -> bool:
    return (folder / "id").exists()


def limited(name: str, _: Path) -> bool:
    mounts = find_hierarchies().mounts
    return any((mount / f"edgesplit-{name}").exists() for mount in mounts)


def networked(name: str, _: Path) -> bool:
    return Path(f"/run/netns/{name}-pi{_HOSTS}").exists()


def linked(name: str, _: Path) -> bool:
    return Path(f"/sys/class/net/{name}-ctl").exists()


def started(_: str, folder: Path) -> bool:
    return (folder / "hosts/pi1/boot.log").exists()


def mounted(_: str, folder: Path) -> bool:
    return (folder / f"hosts/pi{_HOSTS}/work/work").exists()


def written(_: str, folder: Path) -> bool:
    return (folder / "cluster.yaml").exists()


MOMENTS = (described, keyed, limited, networked, linked, mounted, written)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_down_leaves_nothing_of_a_lab_whose_up_was_killed(tmp_path: Path, moment: Moment) -> None:
    need(Level.ROOT)
    _kill_up(tmp_path, Level.ROOT, moment, signal.SIGKILL)


@pytest.mark.parametrize("moment", [described, started], ids=lambda moment: moment.__name__)
@pytest.mark.parametrize("level", [Level.USER, Level.PLAIN])
def test_down_leaves_nothing_of_one_without_root_either(
    tmp_path: Path, moment: Moment, level: Level
) -> None:
    need(level)
    _kill_up(tmp_path, level, moment, signal.SIGKILL)


@pytest.mark.parametrize("moment", [linked, started], ids=lambda moment: moment.__name__)
def test_an_interrupted_up_cleans_up_by_itself(tmp_path: Path, moment: Moment) -> None:
    need(Level.ROOT)
    name = fresh_name()
    try:
        code = _end_at(tmp_path, name, Level.ROOT, moment, signal.SIGINT)
        assert code in {0, 128 + signal.SIGINT}
        if code:
            assert traces(name, tmp_path / "lab") == set()
    finally:
        take_down(tmp_path / "lab", None)


def _kill_up(folder: Path, level: Level, moment: Moment, number: signal.Signals) -> None:
    name = fresh_name()
    try:
        code = _end_at(folder, name, level, moment, number)
        # Where it was done already, it was at least killed by nobody else.
        assert code in {0, -number}
    finally:
        take_down(folder / "lab", None)
    assert traces(name, folder / "lab") == set()


def _end_at(folder: Path, name: str, level: Level, moment: Moment, number: signal.Signals) -> int:
    """Send `lab up` a signal as soon as it is so far; return its exit code."""
    words = ("lab", "up", "--devices", str(_HOSTS), "--name", name, "--level", level.value)
    with subprocess.Popen(
        edgesplit(*words), cwd=folder, env=dict(os.environ), stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not moment(name, folder / "lab"):
            pass
        process.send_signal(number)
        return process.wait(timeout=60)
