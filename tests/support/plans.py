"""Graphs drawn by hand, without any weights, and clusters to plan them on."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from edgesplit.cost.database import Database, Point
from edgesplit.cost.profiles import profile
from edgesplit.cost.work import layer_work
from edgesplit.dataflow.table import Port
from edgesplit.graph.model import Graph, Layer, Node, Value
from edgesplit.spec.cluster import Cluster, Device, Link
from edgesplit.spec.model import ModelSpec, Source

MIB = 1 << 20
FAST_ETHERNET = Link(94.1e6 / 8, 0.3e-3)
GIGABIT = Link(1e9 / 8, 0.1e-3)


class Sketch:
    """A graph in the making: each call adds an operator after the last value, `at`."""

    def __init__(self, *shape: int) -> None:
        self.values = {"x": Value("x", shape, "float32")}
        self.at = "x"
        self.groups: list[list[Node]] = []
        self.macs: list[int] = []

    def conv(self, name: str, channels: int, kernel: int, stride: int = 1, pad: int = 0) -> Sketch:
        _, fan, height, width = self.shape
        size = [(extent + 2 * pad - kernel) // stride + 1 for extent in (height, width)]
        weights = self._weights(name, (channels, fan, kernel, kernel))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        work = channels * fan * kernel * kernel * prod(size)
        return self._heavy("Conv", name, weights, (1, channels, *size), work, window)

    def fc(self, name: str, rows: int) -> Sketch:
        fan = self.shape[1]
        weights = self._weights(name, (rows, fan))
        return self._heavy("Gemm", name, weights, (1, rows), rows * fan, {"transB": 1})

    def relu(self, name: str) -> Sketch:
        return self._light("Relu", name, (self.at,), self.shape)

    def pool(self, name: str, kernel: int, stride: int) -> Sketch:
        size = [(extent - kernel) // stride + 1 for extent in self.shape[2:]]
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2}
        return self._light("MaxPool", name, (self.at,), (*self.shape[:2], *size), window)

    def flatten(self, name: str) -> Sketch:
        return self._light("Flatten", name, (self.at,), (1, prod(self.shape)), {"axis": 1})

    def add(self, name: str, other: str) -> Sketch:
        return self._light("Add", name, (self.at, other), self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values[self.at].shape

    def graph(self, name: str = "sketch") -> Graph:
        layers = tuple(
            Layer(group[0].name, group[0], tuple(group), macs, self._weight_bytes(group))
            for group, macs in zip(self.groups, self.macs, strict=True)
        )
        out = self.values[self.at]
        return Graph(
            name=name,
            digest=f"digest of {name}",
            path=Path("sketch.onnx"),
            values=self.values,
            nodes=tuple(node for group in self.groups for node in group),
            layers=layers,
            inputs=(Port("x", self.values["x"].shape, "float32"),),
            outputs=(Port(self.at, out.shape, "float32"),),
            opset=17,
        )

    def _weights(self, name: str, shape: tuple[int, ...]) -> tuple[str, str]:
        for part, extents in (("weight", shape), ("bias", shape[:1])):
            key = f"{name}.{part}"
            self.values[key] = Value(key, extents, "float32", constant=True)
        return f"{name}.weight", f"{name}.bias"

    def _weight_bytes(self, group: list[Node]) -> int:
        read = {name for node in group for name in node.reads}
        return sum(4 * prod(v.shape) for v in self.values.values() if v.constant and v.name in read)

    def _heavy(  # noqa: PLR0917 - what an operator is made of
        self,
        op: str,
        name: str,
        weights: tuple[str, ...],
        shape: tuple[int, ...],
        macs: int,
        attributes: dict[str, Any],
    ) -> Sketch:
        self.groups.append([])
        self.macs.append(macs)
        return self._light(op, name, (self.at, *weights), shape, attributes)

    def _light(
        self,
        op: str,
        name: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        attributes: dict[str, Any] | None = None,
    ) -> Sketch:
        out = f"{name}.out"
        self.values[out] = Value(out, shape, "float32")
        self.groups[-1].append(Node(name, op, inputs, (out,), attributes or {}))
        self.at = out
        return self


def alexnet() -> Graph:
    """Full-size single-stream AlexNet: fc6 has 144 MiB of weights."""
    net = Sketch(1, 3, 227, 227)
    net.conv("conv1", 96, 11, 4).relu("relu1").pool("pool1", 3, 2)
    net.conv("conv2", 256, 5, 1, 2).relu("relu2").pool("pool2", 3, 2)
    net.conv("conv3", 384, 3, 1, 1).relu("relu3").conv("conv4", 384, 3, 1, 1).relu("relu4")
    net.conv("conv5", 256, 3, 1, 1).relu("relu5").pool("pool5", 3, 2).flatten("flatten")
    net.fc("fc6", 4096).relu("relu6").fc("fc7", 4096).relu("relu7").fc("fc8", 1000)
    return net.graph("alexnet")


def vgg16() -> Graph:
    """Full-size VGG16."""
    net = Sketch(1, 3, 224, 224)
    for block, (channels, convs) in enumerate(
        ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1
    ):
        for index in range(1, convs + 1):
            net.conv(f"conv{block}_{index}", channels, 3, 1, 1).relu(f"relu{block}_{index}")
        net.pool(f"pool{block}", 2, 2)
    net.flatten("flatten")
    net.fc("fc6", 4096).relu("relu6").fc("fc7", 4096).relu("relu7").fc("fc8", 1000)
    return net.graph("vgg16")


def device(name: str, **changes: Any) -> Device:  # noqa: ANN401 - any field of a device
    fields: dict[str, Any] = {
        "connection": "ssh",
        "host": name,
        "address": name,
        "port": 47310,
        "profile": "raspberry-pi-3b",
        "memory": 640 * MIB,
        "cores": 4,
        "link": FAST_ETHERNET,
    }
    return Device(name=name, **fields | changes)


def equal_cluster(count: int, **changes: Any) -> Cluster:  # noqa: ANN401 - any field of a device
    return cluster(*(device(f"pi{n}", **changes) for n in range(1, count + 1)))


def cluster(*devices: Device) -> Cluster:
    return Cluster("home", devices, GIGABIT)


def spec(**changes: Any) -> ModelSpec:  # noqa: ANN401 - any field of a model
    return ModelSpec(**{"source": Source(zoo="alexnet")} | changes)


def database(graph: Graph, factor: float) -> Database:
    """Return a board on which every layer takes so many times what a Pi 3 is published to take."""
    board = profile("raspberry-pi-3b")
    points = [
        Point(one, factor * board.compute(one.macs, one.weights))
        for layer in graph.layers
        for one in layer_work(graph, layer).kernels
        if one.macs
    ]
    return Database("board", step=board.step_seconds, message=board.message_seconds).with_points(
        points
    )
