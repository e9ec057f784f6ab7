"""Real executor processes on loopback, and the smallest gateway that can ask them something."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from executor_process import SCRIPT
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, save_model

from edgesplit.dataflow.assembly import Assembly, Outcome, Recipe
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
from edgesplit.dataflow.wire import Header, Kind
from edgesplit.runtime.program import Peer, Program
from edgesplit.runtime.transport import Arrival, Outgoing, Refused

Array = NDArray[np.float32]
PATIENCE = 30.0
"""Seconds after which something that must happen has not."""

WIDTH, HALF = 8, 3
"""Inputs of the coded layer, and outputs of each of its two blocks."""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Keys:
    """A CURVE key pair, Z85."""

    public: str
    secret: bytes

    @classmethod
    def new(cls) -> Keys:
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret)


def gemm(folder: Path, weights: Array, bias: Array) -> str:
    """Write `y = x W^T + b` and return its digest."""
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    inits = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    return _write(folder, node, ("x", (1, weights.shape[1])), ("y", (1, weights.shape[0])), inits)


def relu(folder: Path, width: int) -> str:
    """Write `z = relu(y)` and return its digest."""
    return _write(
        folder, helper.make_node("Relu", ["y"], ["z"]), ("y", (1, width)), ("z", (1, width))
    )


def _write(
    folder: Path,
    node: NodeProto,
    feed: tuple[str, tuple[int, ...]],
    made: tuple[str, tuple[int, ...]],
    initializers: Iterable[Any] = (),
) -> str:
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (feed, made)]
    graph = helper.make_graph([node], "shard", ports[:1], ports[1:], list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    digest = hashlib.sha256(model.SerializeToString()).hexdigest()
    save_model(model, str(folder / f"{digest}.onnx"))
    return digest


def whole(name: str, value: str, shape: tuple[int, ...], flow: int) -> Input:
    """An input that one flow feeds."""
    box = Region.full(shape)
    return Input(name, value, box, "float32", (Group(((flow,),), (Placement(box, box),)),))


def coded(name: str, flows: tuple[int, int, int]) -> Input:
    """`y`, 1 x 6, from two blocks and their sum."""
    block = Region.full((1, HALF))
    blocks = tuple(Placement(block, Region((0, i * HALF), (1, (i + 1) * HALF))) for i in range(2))
    rows = tuple((flow,) for flow in flows)
    return Input(
        name, "y", Region.full((1, 2 * HALF)), "float32", (Group(rows, blocks, ((1.0, 1.0),)),)
    )


@dataclass(frozen=True)
class Coded:
    """A Gemm in two blocks on a and b, their sum on p, merged and rectified on m."""

    table: TaskTable
    weights: Array
    bias: Array

    def answer(self, x: Array) -> Array:
        """The whole layer's answer."""
        linear: Array = x @ self.weights.T + self.bias
        return linear * (linear > 0)


def coded_layer(blobs: Path, window: int = 8) -> Coded:
    """Write the shards of the coded layer and return its table."""
    generator = np.random.default_rng(7)
    weights = generator.standard_normal((2 * HALF, WIDTH)).astype(np.float32)
    bias = generator.standard_normal(2 * HALF).astype(np.float32)
    blocks = [(weights[:HALF], bias[:HALF]), (weights[HALF:], bias[HALF:])]
    blocks.append((weights[:HALF] + weights[HALF:], bias[:HALF] + bias[HALF:]))
    x, y, block = Region.full((1, WIDTH)), Region.full((1, 2 * HALF)), Region.full((1, HALF))
    names = ("a", "b", "p")
    flows = [Flow(0, "x", x, "float32", (GATEWAY,), names)]
    flows += [Flow(i + 1, "y", block, "float32", (n,), ("m",), 0, i) for i, n in enumerate(names)]
    flows += [
        Flow(4, "y", y, "float32", ("m",), ("m",)),
        Flow(5, "z", y, "float32", ("m",), (GATEWAY,)),
    ]
    tasks = [Task(0, "source", "source", GATEWAY, (), (Output("x", 0, x),))]
    for i, name in enumerate(names):
        feed, made = whole("x", "x", (1, WIDTH), 0), Output("y", i + 1, block)
        shard = gemm(blobs, *blocks[i])
        tasks.append(Task(i + 1, f"fc/{name}", "fc", name, (feed,), (made,), shard))
    tasks += [
        Task(4, "merge", "fc", "m", (coded("y", (1, 2, 3)),), (Output("y", 4, y),)),
        Task(
            5,
            "relu",
            "head",
            "m",
            (whole("y", "y", (1, 2 * HALF), 4),),
            (Output("z", 5, y),),
            relu(blobs, 2 * HALF),
        ),
        Task(6, "sink", "sink", GATEWAY, (whole("z", "z", (1, 2 * HALF), 5),), ()),
    ]
    table = TaskTable(
        tuple(flows),
        tuple(tasks),
        (Port("x", (1, WIDTH), "float32"),),
        (Port("z", (1, 2 * HALF), "float32"),),
        window=window,
    )
    return Coded(table, weights, bias)


@dataclass
class Bed:
    """A cluster of executor processes, one a device of the table."""

    folder: Path
    table: TaskTable
    epoch: int = 1
    gateways: list[Keys] = field(default_factory=lambda: [Keys.new()])
    keys: dict[str, Keys] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    pace: Mapping[int, float] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.blobs.mkdir(exist_ok=True)
        (self.blobs / f"{self.table.digest}.json").write_text(self.table.to_json())
        for name in self.table.devices:
            self.keys[name] = Keys.new()
            self.ports[name] = free_port()

    @property
    def blobs(self) -> Path:
        return self.folder / "blobs"

    @property
    def peers(self) -> dict[str, Peer]:
        return {
            name: Peer(f"tcp://127.0.0.1:{self.ports[name]}", keys.public)
            for name, keys in self.keys.items()
        }

    def program(self, device: str) -> Program:
        peers = self.peers
        bind = peers.pop(device).endpoint
        return Program(
            cluster="test",
            device=device,
            epoch=self.epoch,
            table=self.table.digest,
            bind=bind,
            peers=peers,
            gateways=tuple(keys.public for keys in self.gateways),
            pace=self.pace,
        )

    def start(self, *devices: str) -> Bed:
        for device in devices or self.table.devices:
            self.processes[device] = self.execute(self.program(device))
        return self

    def execute(self, program: Program, *options: object) -> subprocess.Popen[bytes]:
        """Start one executor with `executor_process` options; it logs to `<device>.log`."""
        device = program.device
        (self.folder / f"{device}.program").write_text(program.to_json())
        (self.folder / f"{device}.secret").write_bytes(self.keys[device].secret)
        with (self.folder / f"{device}.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, SCRIPT),
                    *(self.folder / f"{device}.program", self.folder / f"{device}.secret"),
                    *map(str, (self.blobs, *options)),
                ],
                stderr=log,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
        self.started.append(process)
        return process

    def log(self, device: str) -> str:
        return (self.folder / f"{device}.log").read_text()

    def signal(self, device: str, number: signal.Signals) -> None:
        self.processes[device].send_signal(number)
        if number == signal.SIGKILL:
            self.processes[device].wait(PATIENCE)

    def rss(self, device: str) -> int:
        """Resident bytes."""
        statm = Path(f"/proc/{self.processes[device].pid}/statm").read_text().split()
        return int(statm[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """End every executor that was ever started, also one that a test lost sight of."""
        for process in self.started:
            process.kill()
            process.wait(PATIENCE)


@dataclass
class Asked:
    """A request under way: the assembly of its answer, and the answer."""

    assembly: Assembly
    deadline: float
    answer: Array | None = None
    answers: int = 0


class Client:
    """A gateway of few words: opens requests, feeds them, collects answers; it never retries."""

    def __init__(self, bed: Bed, keys: Keys | None = None, *, epoch: int | None = None) -> None:
        self.bed = bed
        self.epoch = bed.epoch if epoch is None else epoch
        self.nonce = secrets.randbits(63)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.poller = zmq.Poller()
        self.beats: dict[str, dict[str, Any]] = {}
        self.traces: list[list[float]] = []
        self.asked: dict[int, Asked] = {}
        self.refused: set[str] = set()
        self.lowest = 0
        self.next = 0
        self.outgoing = Outgoing(
            self.context,
            self.poller,
            secret=(keys or bed.gateways[0]).secret,
            peers=bed.peers,
            max_frame=1 << 20,
            greeting=Header(Kind.HELLO, self.epoch, self.nonce),
            receive=64,
        )

    def close(self) -> None:
        self.outgoing.close()
        self.context.destroy(linger=0)

    def turn(self) -> None:
        """Wait for something to happen, not long, and take it."""
        for event in self.outgoing.handle(dict(self.poller.poll(50))):
            match event:
                case Arrival():
                    self._take(event)
                case Refused(peer):
                    self.refused.add(peer)
        self.outgoing.expire(time.monotonic())

    def until(self, enough: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not enough():
            assert time.monotonic() < end, f"nothing came of it; beats: {self.beats}"
            self.turn()

    def drain(self) -> Client:
        """Turn until nothing waits to be sent any more."""
        self.until(lambda: not self.outgoing.waiting)
        return self

    def ready(self, *devices: str) -> Client:
        wanted = devices or self.bed.table.devices
        self.until(lambda: all(self.beats.get(name, {}).get("ready") for name in wanted))
        return self

    def fresh(self, device: str) -> dict[str, Any]:
        """Return a beat that was sent after this call: the second to come, the first may lie."""
        for _ in range(2):
            self.beats.pop(device, None)
            self.until(lambda: device in self.beats)
        return self.beats[device]

    def open(
        self, x: Array, seconds: float = PATIENCE, attempt: int = 0, number: int | None = None
    ) -> int:
        """Admit a request, or try this one again; return its number."""
        if number is None:
            number, self.next = self.next, self.next + 1
        self.asked[number] = Asked(
            Assembly(Recipe(self.bed.table.sink, dict(enumerate(self.bed.table.flows)))),
            time.monotonic() + seconds,
        )
        for device in self.bed.table.devices:
            self.post(device, self.header(Kind.OPEN, number, attempt=attempt), seconds=seconds)
        for output in self.bed.table.source.outputs:
            flow = self.bed.table.flows[output.flow]
            header = self.header(Kind.DATA, number, attempt=attempt)
            header = header._replace(flow=flow.id, dtype="float32", length=flow.nbytes)
            for device in flow.receivers:
                self.post(device, header, np.ascontiguousarray(x[output.source.slices]), seconds)
        return number

    def header(self, kind: Kind, request: int = 0, attempt: int = 0) -> Header:
        return Header(kind, self.epoch, self.nonce, request, self.lowest, attempt)

    def post(
        self, device: str, header: Header, body: Array | bytes = b"", seconds: float = PATIENCE
    ) -> None:
        self.outgoing.send(device, header, body, deadline=time.monotonic() + seconds)

    def shut(self, number: int) -> None:
        """Close a request everywhere."""
        self.asked.pop(number)
        self.lowest = min(self.asked, default=self.next)
        self.outgoing.forget(self.nonce, number)
        for device in self.bed.table.devices:
            self.post(device, self.header(Kind.CLOSE, number))

    def wait(self, number: int) -> Array:
        """Wait for the answer, close the request and return it."""
        asked = self.asked[number]
        self.until(lambda: asked.answer is not None)
        self.shut(number)
        assert asked.answer is not None
        return asked.answer

    def ask(self, x: Array) -> Array:
        return self.wait(self.open(x))

    def _take(self, arrival: Arrival) -> None:
        header = arrival.header
        if header.kind is Kind.BEAT:
            beat = json.loads(bytes(arrival.body))
            self.traces += beat["traces"]
            self.beats[arrival.sender] = beat
            return
        assert header.nonce == self.nonce, "an answer to another gateway"
        asked = self.asked.get(header.request)
        if asked is None:
            return
        flow = self.bed.table.flows[header.flow]
        array = np.frombuffer(arrival.body, dtype=flow.dtype).reshape(flow.region.shape)
        if asked.assembly.offer(flow.id, array, header.recovered) is Outcome.FORMED:
            asked.answer = asked.assembly.feeds()["z"]
