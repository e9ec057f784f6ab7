"""Clusters of real executors on loopback, with models small enough to check by hand."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import zmq
from executor_process import SCRIPT, commit
from onnx import TensorProto, helper, numpy_helper

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
from edgesplit.dataflow.variants import together
from edgesplit.deploy.record import Record, to_text
from edgesplit.operate.gateway import Gateway, join
from edgesplit.operate.requests import Arrays
from edgesplit.runtime.program import Peer, Program

_FEATURES, _ROWS = 12, 6

# y = relu(x W + b), the rows of W on "left" and "right", their sum on "parity".
_RNG = np.random.default_rng(7)
_WEIGHTS = _RNG.standard_normal((_FEATURES, _ROWS)).astype(np.float32)
_BIAS = _RNG.standard_normal(_ROWS).astype(np.float32)


def gemm(weights: np.ndarray, bias: np.ndarray) -> bytes:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["l"])
    graph = helper.make_graph(
        [node],
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, _FEATURES])],
        [helper.make_tensor_value_info("l", TensorProto.FLOAT, [1, weights.shape[1]])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    return serialised(graph)


def relu(*, given: str = "l", made: str = "y") -> bytes:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", [given], [made])],
        "relu",
        [info(given, TensorProto.FLOAT, [1, _ROWS])],
        [info(made, TensorProto.FLOAT, [1, _ROWS])],
    )
    return serialised(graph)


def serialised(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def whole(*shape: int) -> Region:
    return Region.full(shape)


def rows_input(flows: tuple[int, ...]) -> Input:
    """The value `l`, from two blocks of which parity replaces either."""
    block = whole(1, _ROWS // 2)
    places = [Region((0, low), (1, low + _ROWS // 2)) for low in (0, _ROWS // 2)]
    group = Group(
        rows=tuple((flow,) for flow in flows),
        blocks=tuple(Placement(block, place) for place in places),
        parity=((1.0, 1.0),),
    )
    return Input("l", "l", whole(1, _ROWS), "float32", (group,))


def single(name: str, flow: int, extent: int) -> Input:
    box = whole(1, extent)
    return Input(name, name, box, "float32", (Group(((flow,),), (Placement(box, box),)),))


def coded_table(
    shards: dict[str, str], *, tail: str | None = None, window: int = 4, suffix: str = ""
) -> TaskTable:
    """Rows on three devices; the relu on the gateway, or on the device `tail`."""
    rows = ("left", "right", "parity")
    devices = tuple(f"{row}{suffix}" for row in rows)
    feature, block = whole(1, _FEATURES), whole(1, _ROWS // 2)
    target = tail or GATEWAY
    flows = [Flow(0, "x", feature, "float32", (GATEWAY,), devices)]
    tasks = [Task(0, "request", "request", GATEWAY, (), (Output("x", 0, feature),))]
    for number, device in enumerate(devices):
        flow = Flow(number + 1, "l", block, "float32", (device,), (target,), 0, number)
        flows.append(flow)
        takes, makes = (single("x", 0, _FEATURES),), (Output("l", number + 1, block),)
        tasks.append(Task(number + 1, device, "fc", device, takes, makes, shards[rows[number]]))
    ending = rows_input((1, 2, 3))
    if tail is None:
        tasks.append(Task(4, "answer", "answer", GATEWAY, (ending,), (), shards["relu"]))
    else:
        full = whole(1, _ROWS)
        flows.append(Flow(4, "y", full, "float32", (tail,), (GATEWAY,)))
        tasks.append(
            Task(4, "relu", "relu", tail, (ending,), (Output("y", 4, full),), shards["relu"])
        )
        tasks.append(Task(5, "answer", "answer", GATEWAY, (single("y", 4, _ROWS),), ()))
    ports = (Port("x", (1, _FEATURES), "float32"),), (Port("y", (1, _ROWS), "float32"),)
    return TaskTable(tuple(flows), tuple(tasks), *ports, window=window)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


@dataclass(frozen=True)
class Keys:
    """A CURVE key pair, Z85."""

    public: str
    secret: bytes

    @classmethod
    def new(cls) -> Keys:
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret)


@dataclass
class Lab:
    """The executors of one epoch by device name; harms and mends them as a fleet does."""

    folder: Path
    record: Record
    operator: Keys
    keys: dict[str, Keys]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    after: list[Lab] = field(default_factory=list)

    @property
    def secret(self) -> bytes:
        return self.operator.secret

    def start(self, *devices: str) -> Lab:
        for device in devices or self.record.table.devices:
            name = f"{device}.{self.record.epoch}"
            paths = [self.folder / f"{name}.json", self.folder / f"{device}.key", self.folder]
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[device] = subprocess.Popen(
                    [sys.executable, SCRIPT, *map(str, [*paths, self.folder])], stderr=log
                )
        return self

    def follow(self, **options: Any) -> Lab:  # noqa: ANN401 - what `write_programs` takes
        """Return the epoch after this one on the same devices, not started."""
        made = write_programs(
            self.folder, self.operator, self.keys, epoch=self.record.epoch + 1, **options
        )
        self.after.append(made)
        return made

    def commit(self) -> None:
        """Make this epoch the current one on all devices."""
        commit(self.folder, to_text(self.record))

    @staticmethod
    def oracle(feeds: Arrays) -> Arrays:
        """What the whole model answers."""
        return {"y": np.maximum(feeds["x"] @ _WEIGHTS + _BIAS, 0)}

    @staticmethod
    def feeds(seed: int) -> Arrays:
        """Return one input of the model."""
        return {"x": np.random.default_rng(seed).standard_normal((1, _FEATURES), np.float32)}

    def join(self, **options: float) -> Gateway:
        return join(self.record, self.secret, **{"wait": 30.0, **options})  # type: ignore[arg-type]

    def kill(self, device: str) -> None:
        self.processes[device].kill()
        self.processes[device].wait()

    def pause(self, device: str) -> None:
        self.processes[device].send_signal(signal.SIGSTOP)

    def restore(self, device: str) -> None:
        if self.processes[device].poll() is None:
            self.processes[device].send_signal(signal.SIGCONT)
        else:
            self.start(device)

    def close(self) -> None:
        for lab in self.after:
            lab.close()
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Make a lab: `lab(tail="last", window=4, pace={1: 0.05})`; free to be harmed."""
    made: list[Lab] = []

    def make(**options: Any) -> Lab:  # noqa: ANN401 - what `start_lab` takes
        made.append(start_lab(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def steady_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that tests share and must not harm."""
    shared = start_lab(tmp_path_factory.mktemp("steady"))
    yield shared
    shared.close()


def start_lab(folder: Path, **options: Any) -> Lab:  # noqa: ANN401 - what `write_programs` takes
    made = write_programs(folder, Keys.new(), {}, **options)
    made.commit()
    return made.start()


def write_shards(folder: Path) -> dict[str, str]:
    half = _ROWS // 2
    left, right = _WEIGHTS[:, :half], _WEIGHTS[:, half:]
    models = {
        "left": gemm(left, _BIAS[:half]),
        "right": gemm(right, _BIAS[half:]),
        "parity": gemm(left + right, _BIAS[:half] + _BIAS[half:]),
        "relu": relu(),
    }
    for model in models.values():
        (folder / f"{hashlib.sha256(model).hexdigest()}.onnx").write_bytes(model)
    return {name: hashlib.sha256(model).hexdigest() for name, model in models.items()}


def write_programs(
    folder: Path,
    operator: Keys,
    keys: dict[str, Keys],
    *,
    tail: str | None = None,
    window: int = 4,
    pace: dict[int, float] | None = None,
    epoch: int = 3,
    source: str = "",
    ways: tuple[str, ...] = ("",),
) -> Lab:
    """Write what the executors of an epoch need; devices without a key get one.

    There is a variant for each of `ways`, the suffixes of its devices' names.
    """
    shards, pace = write_shards(folder), pace or {}
    table = together(
        [coded_table(shards, tail=tail, window=window, suffix=suffix) for suffix in ways]
    )
    (folder / f"{table.digest}.json").write_text(table.to_json())
    keys |= {device: Keys.new() for device in table.devices if device not in keys}
    peers = {
        device: Peer(f"tcp://127.0.0.1:{port}", keys[device].public)
        for device, port in zip(table.devices, free_ports(len(table.devices)), strict=True)
    }
    for device, peer in peers.items():
        (folder / f"{device}.key").write_bytes(keys[device].secret)
        program = Program(
            cluster="lab",
            device=device,
            epoch=epoch,
            table=table.digest,
            bind=peer.endpoint,
            peers={name: other for name, other in peers.items() if name != device},
            gateways=(operator.public,),
            pace={task.id: pace[task.id] for task in table.tasks_of(device) if task.id in pace},
        )
        (folder / f"{device}.{epoch}.json").write_text(program.to_json())
    return Lab(folder, _record(folder, table, peers, epoch, source), operator, keys)


def _record(
    folder: Path, table: TaskTable, peers: dict[str, Peer], epoch: int, source: str
) -> Record:
    heads = {sink.shard for sink in table.sinks if sink.shard}
    return Record(
        cluster="lab",
        epoch=epoch,
        allocation="",
        table=table,
        peers=peers,
        programs=dict.fromkeys(peers, ""),
        deadline=10.0,
        heads={head: (folder / f"{head}.onnx").read_bytes() for head in heads},
        source=source,
    )
