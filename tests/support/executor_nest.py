"""Real executors for an allocation, in forked processes, and a gateway to them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import zmq
from deployments import PATIENCE, free_range
from executor_forks import SCRIPT

from edgesplit.deploy.programs import Generation, Release, peers, programs
from edgesplit.deploy.record import Record
from edgesplit.graph.model import Graph
from edgesplit.operate.gateway import Gateway
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.lower import lower
from edgesplit.shards.builder import build
from edgesplit.shards.known import known_answers
from edgesplit.shards.store import Store
from edgesplit.spec.cluster import Cluster, Device, Link
from edgesplit.spec.cluster_file import PORTS

EPOCH = 1


class Nest:
    """Forks executors; leaving it ends them all."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, *arguments: str) -> None:
        """Start an executor: its log, and the arguments of `executor_process`."""
        self._tell(arguments)

    def clear(self) -> None:
        """End all executors."""
        self._tell([])
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "clear\n"

    def _tell(self, arguments: Sequence[str]) -> None:
        assert self._process.stdin is not None
        print(json.dumps(arguments), file=self._process.stdin, flush=True)

    @contextmanager
    def deployed(self, graph: Graph, allocation: Allocation, folder: Path) -> Iterator[Gateway]:
        """Build the shards into `folder`, run them, and yield a gateway that all are ready for."""
        built = build(graph, lower(graph, allocation), folder)
        table, store = built.table, Store(folder)
        (folder / f"{table.digest}.json").write_text(table.to_json())
        digests = {sink.shard for sink in table.sinks if sink.shard}
        heads = {digest: store.path(digest, ".onnx").read_bytes() for digest in digests}
        files = {
            task: tuple(folder / name for name, _ in shard.files)
            for task, shard in built.shards.items()
        }
        known = known_answers(built, folder)
        release = Release(table, files, "", PATIENCE, heads, answers=known)
        keys = {name: zmq.curve_keypair() for name in ("gateway", *table.devices)}
        public = {name: public.decode() for name, (public, _) in keys.items()}
        generation = Generation("nest", EPOCH, (public.pop("gateway"),), public)
        cluster = allocation.cluster
        for name, program in programs(release, cluster, generation).items():
            own = [folder / f"{name}.{kind}" for kind in ("log", "program", "secret")]
            own[1].write_text(program.to_json())
            own[2].write_bytes(keys[name][1])
            self.start(*map(str, (*own, folder)))
        record = Record(
            "nest", EPOCH, "", table, peers(cluster, generation), {}, PATIENCE, heads=heads
        )
        try:
            with Gateway(record, keys["gateway"][1]) as gateway:
                assert not gateway.wait_ready(frozenset(table.devices), PATIENCE)
                yield gateway
        finally:
            self.clear()


def loopback(count: int) -> Cluster:
    """Return a cluster of equal devices d0, d1, ... at a loopback address that nobody else has."""
    address = ".".join(["127", *(str(1 + secrets.randbelow(250)) for _ in range(3))])
    first = free_range(address, PORTS * count)
    link = Link(94.1e6 / 8, 0.3e-3)
    devices = (
        Device(
            name=f"d{index}",
            connection="local",
            host=address,
            address=address,
            port=first + PORTS * index,
            profile="raspberry-pi-3b",
            memory=1 << 30,
            cores=1,
            link=link,
        )
        for index in range(count)
    )
    return Cluster("nest", tuple(devices), link)
