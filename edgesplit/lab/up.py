"""Making a lab: what is wanted, on what level, and every part of it in order."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from edgesplit.errors import LabError, UsageError
from edgesplit.lab import wifi
from edgesplit.lab.bed import HOSTS, LAB_FILE, Lab, LabHost, Level, Shape, checked_name, save_lab
from edgesplit.lab.boot import await_ssh, start
from edgesplit.lab.cgroups import Groups
from edgesplit.lab.cluster import FILES, give_to_caller, make_login_key, write_cluster
from edgesplit.lab.disk import make_disk
from edgesplit.lab.down import remove
from edgesplit.lab.holder import start_holder
from edgesplit.lab.levels import Choice, choose
from edgesplit.lab.network import create_network
from edgesplit.lab.presets import WIFI, cpu_share, wired
from edgesplit.lab.registry import Entry, held, register
from edgesplit.spec.boards import BOARDS, GIGABIT

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lab as it is asked for: the preset of each host, and how they are linked and slowed.

    `radio` makes wireless links, `loss` is the share of frames that links lose, `seed` decides
    which; `gateway_rate` is what the controller's own link carries, in payload bytes a second.
    `sliced` hosts are slowed by a CPU quota instead of pacing; on `bare` ones there is nothing of
    the controller's Python.
    """

    presets: tuple[str, ...]
    folder: Path = Path("lab")
    name: str = "lab"
    level: Level | None = None
    radio: bool = False
    loss: float = 0.0
    seed: int = 0
    gateway_rate: float = GIGABIT.bandwidth
    sliced: bool = False
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """A lab that is up, and how its level came about."""

    lab: Lab
    choice: Choice


def bring_up(wanted: Wanted) -> Raised:
    """Make a lab and start its hosts; what could not be finished is taken down again.

    Raises:
        LabError: This machine doesn't allow it, or the name or the folder is taken.
        UsageError: It can't be made like that on its level.
    """
    choice = choose(wanted.level)
    _refuse_what_the_level_lacks(wanted, choice.level)
    folder = wanted.folder.absolute()
    with held(folder):
        _refuse_strangers(folder)
        if choice.level is Level.ROOT:
            _refuse_overlays(folder)
        entry = register(checked_name(wanted.name), choice.level, folder)
        try:
            lab = _create(draft(wanted, entry))
        except BaseException:
            remove(entry)
            raise
    return Raised(lab, choice)


def draft(wanted: Wanted, entry: Entry) -> Lab:
    """Return the lab that is wanted, under the name and in the network that it was given."""
    hosts = [_host(wanted, entry, index) for index in range(1, len(wanted.presets) + 1)]
    return Lab(
        name=entry.name,
        level=entry.level,
        folder=entry.folder,
        subnet=entry.subnet,
        hosts=tuple(hosts),
        gateway=Shape(wanted.gateway_rate),
        bare=wanted.bare,
    )


def _host(wanted: Wanted, entry: Entry, index: int) -> LabHost:
    preset, name = wanted.presets[index - 1], f"pi{index}"
    link = WIFI if wanted.radio else wired(preset)
    return LabHost(
        name=name,
        index=index,
        address=f"{entry.subnet}.{index}",
        preset=preset,
        memory=BOARDS[preset].ram,
        shape=replace(link, loss=wanted.loss, seed=wanted.seed + index),
        slice=cpu_share(preset) if wanted.sliced else None,
        folder=entry.folder / HOSTS / name,
    )


def _create(lab: Lab) -> Lab:
    save_lab(lab)
    if lab.level is Level.USER:
        lab = replace(lab, holder=start_holder(lab))
        save_lab(lab)
    make_login_key(lab)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = pool.map(lambda host: make_disk(lab, host), lab.hosts)
        if lab.level is Level.ROOT:
            _limit(lab)
        if lab.level is not Level.PLAIN:
            create_network(lab)
        list(made)
        list(pool.map(lambda host: _switch_on(lab, host), lab.hosts))
    await_ssh(lab, lab.hosts)
    write_cluster(lab)
    give_to_caller(lab)
    return lab


def _limit(lab: Lab) -> None:
    groups = Groups.of(lab)
    groups.create(tuple(host.name for host in lab.hosts))
    for host in lab.hosts:
        groups.set_memory(host.name, host.memory)
        if host.slice is not None:
            groups.set_cpu(host.name, host.slice)


def _switch_on(lab: Lab, host: LabHost) -> None:
    if host.shape.radio:
        wifi.attach(lab, host, host.shape)
    start(lab, host)


def _refuse_what_the_level_lacks(wanted: Wanted, level: Level) -> None:
    for asked in _beyond(wanted, level):
        raise UsageError(
            f"{asked} needs more than the level {level} has", remedy="leave it out, or use root"
        )


def _beyond(wanted: Wanted, level: Level) -> Iterator[str]:
    if wanted.sliced and level is not Level.ROOT:
        yield "--slice"
    if (wanted.radio or wanted.loss) and level is Level.PLAIN:
        yield "a link with delay or loss"


def _refuse_strangers(folder: Path) -> None:
    """Refuse a folder in which files of a lab's names are already there."""
    there = [name for name in (*FILES, HOSTS) if (folder / name).exists()]
    if LAB_FILE in there:
        raise LabError(
            "a lab is up here already",
            where=str(folder),
            remedy=f"take it down with `edgesplit lab down --folder {folder}`",
        )
    if there:
        raise LabError(
            f"it has {', '.join(there)} already, which a lab would replace",
            where=str(folder),
            remedy="name another --folder",
        )


def _refuse_overlays(folder: Path) -> None:
    """Refuse a folder in which no host could have its disk, as in most containers."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    kind = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if kind.startswith("overlay"):
        raise LabError(
            "it is on an overlay file system, on which hosts can't have disks",
            where=str(folder),
            remedy="name a --folder on a disk or in memory, such as /dev/shm/lab",
        )
