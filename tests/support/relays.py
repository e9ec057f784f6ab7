"""A deployable dataflow without a model: each device hands on what it gets."""

from __future__ import annotations

import hashlib
import secrets
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import zmq

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
from edgesplit.deploy.keys import KeyPair
from edgesplit.deploy.programs import Release
from edgesplit.deploy.record import Record
from edgesplit.errors import DeployError
from edgesplit.operate.witness import GatewayWitness
from edgesplit.spec.cluster import Cluster, Device, Link
from edgesplit.spec.cluster_file import PORTS


def curve_pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret)


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
    """Return a port that nobody listens on, nor on the next; the kernel hands out higher ones."""
    while True:
        port = 10_000 + 2 * secrets.randbelow(10_000)
        if not any(_taken(address, one) for one in range(port, port + PORTS)):
            return port


def _taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return not probe.connect_ex((address, port))


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    """Ask again until it is so; fail where it never comes."""
    limit = time.monotonic() + seconds
    while not what():
        if time.monotonic() > limit:
            raise AssertionError("waited in vain")


KEYS = curve_pair()
"""The gateway's, of these tests alone."""


def witness() -> GatewayWitness:
    """Return a witness that sees executors become ready, and knows no question to ask."""
    return GatewayWitness(KEYS.secret)


@dataclass(frozen=True)
class Unconvinced:
    """A witness for whom no candidate is good enough."""

    failure: BaseException = field(default_factory=lambda: DeployError("no answer in time"))

    def ready(self, *_: object) -> None:
        raise self.failure

    def trial(self, *_: object) -> None:
        raise AssertionError("it was never ready")

    def drained(self, _: Record) -> frozenset[str]:
        return frozenset()
