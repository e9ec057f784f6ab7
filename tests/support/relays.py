"""A deployable dataflow without a model: each device hands on what it gets."""

from __future__ import annotations

import hashlib
import secrets
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import (
    GATEWAY,
    Flow,
    Group,
    Input,
    Output,
    Placement,
    Port,
    Task,
    TaskTable,
)
from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.programs import Release
from edgesplit.deploy.record import Record
from edgesplit.errors import DeployError
from edgesplit.spec.cluster import Cluster, Device, Link

BOX = Region.full((1, 4))
LINK = Link(bandwidth=1e9, latency=1e-4)


def relay_table(devices: tuple[str, ...]) -> TaskTable:
    """Return a chain: the gateway's value goes through all devices and comes back."""
    stops = (GATEWAY, *devices, GATEWAY)
    flows = tuple(
        Flow(i, "x", BOX, "float32", (stops[i],), (stops[i + 1],)) for i in range(len(stops) - 1)
    )
    tasks = [Task(0, "source", "source", GATEWAY, (), (Output("x", 0, BOX),))]
    for number, device in enumerate(devices, 1):
        inputs = (_input(number - 1),)
        tasks.append(Task(number, device, device, device, inputs, (Output("x", number, BOX),)))
    tasks.append(Task(len(tasks), "sink", "sink", GATEWAY, (_input(len(devices)),), ()))
    port = Port("x", (1, 4), "float32")
    return TaskTable(flows, tuple(tasks), (port,), (port,))


def _input(flow: int) -> Input:
    return Input("x", "x", BOX, "float32", (Group(((flow,),), (Placement(BOX, BOX),)),))


def relay_release(folder: Path, devices: tuple[str, ...], *, seed: bytes = b"") -> Release:
    """Return a release whose tasks bring one blob each, to have something to push."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        number: (blob(folder, device.encode() * 50_000 + seed),)
        for number, device in enumerate(devices, 1)
    }
    return Release(relay_table(devices), files, "0" * 64, deadline=1.0)


def blob(folder: Path, content: bytes) -> Path:
    """Write a content-addressed file."""
    path = folder / f"{hashlib.sha256(content).hexdigest()}.weights"
    path.write_bytes(content)
    return path


def local_device(name: str, root: Path, *, address: str = "127.0.0.1", port: int = 0) -> Device:
    """Return a device on this machine with a port that is free now."""
    return Device(
        name=name,
        connection="local",
        host="localhost",
        address=address,
        port=port or free_port(address),
        profile="raspberry-pi-4b",
        memory=1 << 30,
        cores=1,
        link=LINK,
        python=sys.executable,
        root=str(root),
    )


def local_cluster(folder: Path, names: tuple[str, ...]) -> Cluster:
    """Return a cluster of devices on this machine, with their folders under `folder`."""
    devices = tuple(local_device(name, folder / name) for name in names)
    return Cluster(f"test-{secrets.token_hex(4)}", devices, LINK)


def free_port(address: str) -> int:
    """Return a port that nobody listens on now, below those the kernel hands out."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex((address, port)):
                return port


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    """Ask again until it is so; fail where it never comes."""
    limit = time.monotonic() + seconds
    while not what():
        if time.monotonic() > limit:
            raise AssertionError("waited in vain")


def serving(cluster: Cluster) -> Callable[[Record], None]:
    """Return a `ready` that waits until every executor says in its log that it serves."""

    def ready(record: Record) -> None:
        with open_fleet(cluster, record) as fleet:
            until(lambda: _all_serve(fleet.check, fleet.log, record))

    return ready


def _all_serve(
    check: Callable[[], None], log: Callable[[str, int], list[str]], record: Record
) -> bool:
    words = f"serves epoch {record.epoch}"
    if all(any(words in line for line in log(name, 50)) for name in record.programs):
        return True
    check()
    return False


def never_ready(_: Record) -> None:
    """Fail as a `ready` does whose time is over."""
    raise DeployError("no answer in time")
