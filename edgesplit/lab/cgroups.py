"""Limits of hosts: memory and CPU by cgroup, version 1 or 2, whichever has the controller."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgesplit.errors import LabError
from edgesplit.lab.bed import Lab, LabHost
from edgesplit.lab.hierarchy import Controller, Hierarchies, find_hierarchies

_PERIOD_US = 20_000
_LEAST_QUOTA_US = 1000
_LONGEST_PERIOD_US = 1_000_000
_SECONDS = 10.0
_PROCESSES = "cgroup.procs"


@dataclass(frozen=True, slots=True)
class Memory:
    """What a host holds in memory, in bytes: all of it, and without cached files."""

    used: int
    anonymous: int


@dataclass(frozen=True, slots=True)
class Groups:
    """The cgroups of one lab: a group of its own, and in it one of each host."""

    name: str
    where: Hierarchies

    @classmethod
    def of(cls, lab: Lab) -> Groups:
        """Return the groups that a lab has on this machine."""
        return cls(f"edgesplit-{lab.name}", find_hierarchies())

    def create(self, hosts: tuple[str, ...]) -> None:
        """Make the groups; together the hosts weigh as much as so many processes outside."""
        for mount in self.where.mounts:
            for host in hosts:
                (mount / self.name / host).mkdir(parents=True, exist_ok=True)
        self._delegate()
        if self.where.cpu is not None:
            weight = {1: ("cpu.shares", 1024, 262_144), 2: ("cpu.weight", 100, 10_000)}
            file, one, most = weight[self.where.cpu.version]
            _write(self.where.cpu.mount / self.name / file, min(most, one * len(hosts)))

    def remove(self) -> None:
        """Kill what is in the groups, then remove them; nothing happens where there are none."""
        for host in self._hosts():
            self.kill(host)
        for mount in self.where.mounts:
            for folder in (*_below(mount / self.name), mount / self.name):
                _until(partial(_removed, folder), f"{folder} can't be removed")

    def folders(self, host: str) -> tuple[Path, ...]:
        """Return the groups of a host: one in each hierarchy."""
        return tuple(mount / self.name / host for mount in self.where.mounts)

    def set_memory(self, host: str, limit: int | None) -> None:
        """Limit a host's memory to so many bytes, swap included; None lifts the limit."""
        controller = self._needed(self.where.memory, "memory")
        group = controller.mount / self.name / host
        if controller.version == 2:
            _write(group / "memory.max", "max" if limit is None else limit)
            _write(group / "memory.swap.max", "max" if limit is None else 0, optional=True)
            return
        both = "memory.memsw.limit_in_bytes"  # Never below the limit without swap.
        _write(group / both, -1, optional=True)
        _write(group / "memory.limit_in_bytes", -1 if limit is None else limit)
        _write(group / both, -1 if limit is None else limit, optional=True)

    def memory(self, host: str) -> Memory:
        """Return what a host holds in memory."""
        controller = self._needed(self.where.memory, "memory")
        group = controller.mount / self.name / host
        total, own = {1: ("usage_in_bytes", "total_rss"), 2: ("current", "anon")}[
            controller.version
        ]
        stat = dict(line.split() for line in _read(group / "memory.stat").splitlines())
        return Memory(int(_read(group / f"memory.{total}")), int(stat[own]))

    def set_cpu(self, host: str, cores: float | None) -> None:
        """Limit a host to so many cores of this machine; None lifts the limit."""
        controller = self._needed(self.where.cpu, "cpu")
        group = controller.mount / self.name / host
        quota, period = quota_of(cores)
        if controller.version == 2:
            _write(group / "cpu.max", f"{'max' if quota is None else quota} {period}")
            return
        _write(group / "cpu.cfs_quota_us", -1)
        _write(group / "cpu.cfs_period_us", period)
        _write(group / "cpu.cfs_quota_us", -1 if quota is None else quota)

    def freeze(self, host: str, *, on: bool) -> None:
        """Stop every process of a host where it is, or let them go on; return once it is so."""
        controller = self._needed(self.where.freezer, "freezer")
        group = controller.mount / self.name / host
        if controller.version == 2:
            _write(group / "cgroup.freeze", int(on))
            _until(
                lambda: f"frozen {int(on)}" in _read(group / "cgroup.events"),
                f"{host} doesn't stand still",
            )
            return
        state = "FROZEN" if on else "THAWED"
        _write(group / "freezer.state", state)
        _until(
            lambda: _read(group / "freezer.state").strip() == state, f"{host} doesn't stand still"
        )

    def pids(self, host: str) -> frozenset[int]:
        """Return the processes of a host."""
        listed = (folder / _PROCESSES for folder in self.folders(host) if folder.is_dir())
        return frozenset(int(pid) for path in listed for pid in _read(path).split())

    def kill(self, host: str) -> None:
        """Kill every process of a host, frozen or not, and return once they are gone."""
        groups = [group for group in self.folders(host) if group.is_dir()]
        freezer = self.where.freezer
        if freezer is None or freezer.mount / self.name / host not in groups:
            freezer = None
        elif freezer.version == 1:
            self.freeze(host, on=False)  # Version 1 lets nobody who is frozen die.
        _until(lambda: not any(_killed(group) for group in groups), f"{host} doesn't end")
        if freezer is not None:
            self.freeze(host, on=False)  # Else it would stand still from its next start on.

    def _hosts(self) -> set[str]:
        return {group.name for mount in self.where.mounts for group in _below(mount / self.name)}

    def _delegate(self) -> None:
        """Let groups of version 2 have the controllers that hosts are limited by."""
        named = (("memory", self.where.memory), ("cpu", self.where.cpu))
        for name, controller in named:
            if controller is not None and controller.version == 2:
                for group in (controller.mount, controller.mount / self.name):
                    _write(group / "cgroup.subtree_control", f"+{name}")

    @staticmethod
    def _needed(controller: Controller | None, name: str) -> Controller:
        if controller is None:
            raise LabError(
                f"this machine has no {name} cgroup",
                remedy="start the kernel with cgroup_enable=memory, or use `--level user`",
            )
        return controller


def set_memory(lab: Lab, host: LabHost, limit: int | None) -> None:
    """Limit a host's memory to so many bytes, swap included; None lifts the limit."""
    Groups.of(lab).set_memory(host.name, limit)


def memory(lab: Lab, host: LabHost) -> Memory:
    """Return what a host's processes, and the files that they read, hold in memory."""
    return Groups.of(lab).memory(host.name)


def set_cpu(lab: Lab, host: LabHost, cores: float | None) -> None:
    """Limit a host to so many cores of this machine; None lifts the limit."""
    Groups.of(lab).set_cpu(host.name, cores)


def freeze(lab: Lab, host: LabHost) -> None:
    """Stop every process of a host where it is; return once they stand still."""
    Groups.of(lab).freeze(host.name, on=True)


def thaw(lab: Lab, host: LabHost) -> None:
    """Let a frozen host go on."""
    Groups.of(lab).freeze(host.name, on=False)


def kill_all(lab: Lab, host: LabHost) -> None:
    """Kill every process of a host and return once they are gone."""
    Groups.of(lab).kill(host.name)


def quota_of(cores: float | None) -> tuple[int | None, int]:
    """Return the quota (None: no limit) and the period, in microseconds, for a share of CPU.

    The kernel's least quota is 1 ms: for less, the period grows, never the share.

    Raises:
        LabError: The share is too small for the longest period.
    """
    if cores is None:
        return None, _PERIOD_US
    if cores * _LONGEST_PERIOD_US < _LEAST_QUOTA_US:
        least = _LEAST_QUOTA_US / _LONGEST_PERIOD_US
        raise LabError(f"{cores:g} cores can't be given", remedy=f"give at least {least:g}")
    period = max(_PERIOD_US, math.ceil(_LEAST_QUOTA_US / cores))
    return max(_LEAST_QUOTA_US, round(cores * period)), period


def _killed(group: Path) -> bool:
    """Kill what is in a group; return whether anything was."""
    pids = _read(group / _PROCESSES).split()
    if pids and (group / "cgroup.kill").exists():
        _write(group / "cgroup.kill", 1)
        return True
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    return bool(pids)


def _below(group: Path) -> Iterator[Path]:
    return (path for path in group.glob("*/") if path.is_dir())


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(otherwise, remedy="look what holds it with `ps`; then try again")
        time.sleep(0.005)


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii")


def _write(path: Path, value: str | int, *, optional: bool = False) -> None:
    """Write to a control file; an `optional` one may not be there."""
    if optional and not path.exists():
        return
    try:
        path.write_text(str(value), encoding="ascii")
    except OSError as error:
        raise LabError(
            f"{value} was refused ({error.strerror})", where=str(path), remedy="try another value"
        ) from error
