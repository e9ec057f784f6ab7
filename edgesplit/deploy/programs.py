"""What each device is given: its program, and the blobs and the manifest of its release."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgesplit.dataflow.table import GATEWAY, Task, TaskTable
from edgesplit.runtime.program import SLOTS, Peer, Program
from edgesplit.runtime.release import Manifest
from edgesplit.spec.cluster import Cluster, Device


@dataclass(frozen=True)
class Release:
    """An allocation that is ready to be deployed.

    `files` are the built files of each task's shard, by task id, named `<sha256>.<suffix>`.
    `allocation` is the SHA-256 of the allocation file and `source` its text, `heads` the
    gateway's models behind a coded last layer by digest, `deadline` in seconds. `pace` and
    `predicted` are seconds by task id, as in `Program`, `answers` the known answers by task id;
    `memory` and `mapped` are bytes by device, as in `Record`.
    """

    table: TaskTable
    files: Mapping[int, tuple[Path, ...]]
    allocation: str
    deadline: float
    heads: Mapping[str, bytes] = field(default_factory=dict)
    pace: Mapping[int, float] = field(default_factory=dict)
    predicted: Mapping[int, float] = field(default_factory=dict)
    answers: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    mapped: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    def blobs(self, device: str) -> dict[str, Path | bytes]:
        """Return what a device must hold, by blob name: the table and its own tasks' shards."""
        own = {f.name: f for t in self.table.tasks_of(device) for f in self.files.get(t.id, ())}
        return {f"{self.table.digest}.json": self.table.to_json().encode(), **own}


@dataclass(frozen=True, slots=True)
class Generation:
    """What distinguishes one deployment from another: cluster id, epoch and the public keys.

    `gateways` are the keys that may open requests, `devices` the devices' own, all in Z85.
    """

    cluster: str
    epoch: int
    gateways: tuple[str, ...]
    devices: Mapping[str, str]


def slot_of(epoch: int) -> int:
    """Return in which of a device's two places a release of this epoch runs."""
    return epoch % SLOTS


def port_of(device: Device, epoch: int) -> int:
    """Return the port of a device's executor: releases that follow each other take turns."""
    return device.port + slot_of(epoch)


def threads_of(device: Device) -> int:
    """Return the threads that a device's executor has; one that is paced imitates with one."""
    return device.cores if device.pace is None else 1


def peers(cluster: Cluster, generation: Generation) -> dict[str, Peer]:
    """Return where each device listens and which key it has."""
    return {
        name: _peer(cluster.device(name), generation.epoch, public)
        for name, public in generation.devices.items()
    }


def programs(release: Release, cluster: Cluster, generation: Generation) -> dict[str, Program]:
    """Return the program of each device that has a task."""
    everyone = peers(cluster, generation)
    return {
        name: _program(release, cluster.device(name), generation, everyone)
        for name in release.table.devices
    }


def manifest(release: Release, program: Program, code: str, python: str) -> Manifest:
    """Return the manifest of a device's release."""
    return Manifest(_digest(program), code, python, tuple(sorted(release.blobs(program.device))))


def reissued_manifest(old: Manifest, program: Program) -> Manifest:
    """Return the manifest of a release whose program alone was made anew."""
    return replace(old, program=_digest(program))


def _digest(program: Program) -> str:
    return hashlib.sha256(program.to_json().encode()).hexdigest()


def neighbours(table: TaskTable, device: str) -> frozenset[str]:
    """Return the devices that a device sends to or receives from, without the gateway."""
    ends = ({*flow.senders, *flow.receivers} for flow in table.flows)
    return frozenset().union(*(e for e in ends if device in e)) - {device, GATEWAY}


def _program(
    release: Release, device: Device, generation: Generation, everyone: Mapping[str, Peer]
) -> Program:
    tasks = {task.id for task in release.table.tasks_of(device.name)}
    return Program(
        cluster=generation.cluster,
        device=device.name,
        epoch=generation.epoch,
        table=release.table.digest,
        bind=bind_of(device, generation.epoch),
        peers={name: everyone[name] for name in neighbours(release.table, device.name)},
        gateways=generation.gateways,
        threads=threads_of(device),
        pace={task: s for task, s in release.pace.items() if task in tasks},
        predicted={task: s for task, s in release.predicted.items() if task in tasks},
        key=generation.devices[device.name],
        answers={task: known for task, known in release.answers.items() if task in tasks},
        alike=_alike(release.files, release.table.tasks_of(device.name)),
    )


def _alike(files: Mapping[int, tuple[Path, ...]], tasks: Sequence[Task]) -> tuple[int, ...]:
    """Return the tasks of a device whose shards differ from another's in all but the weights."""
    shards: dict[Path, set[str | None]] = {}
    for task in tasks:
        for file in files.get(task.id, ())[1:]:
            shards.setdefault(file, set()).add(task.shard)
    common = {file for file, digests in shards.items() if len(digests) > 1}
    return tuple(task.id for task in tasks if common.intersection(files.get(task.id, ())))


def _peer(device: Device, epoch: int, public: str) -> Peer:
    return Peer(f"tcp://{device.address}:{port_of(device, epoch)}", public)


def bind_of(device: Device, epoch: int) -> str:
    """Return where to listen: on loopback only where peers are there too, else everywhere."""
    try:
        loopback = ipaddress.ip_address(device.address).is_loopback
    except ValueError:  # A host name; what it means there is for the device to know.
        loopback = False
    return f"tcp://{device.address if loopback else '*'}:{port_of(device, epoch)}"
