"""Allocations written down by hand, and small graphs for them."""

from __future__ import annotations

from typing import Any

from plans import Sketch, equal_cluster, spec

from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage


def perceptron(*rows: int, columns: int = 64, head: bool = False) -> Graph:
    """Fully connected layers fc1, fc2, ..., an activation under each; under the last if `head`."""
    net = Sketch(1, columns)
    for index, count in enumerate(rows, start=1):
        net.fc(f"fc{index}", count)
        if head or index < len(rows):
            net.relu(f"relu{index}")
    return net.graph()


def residual() -> Graph:
    """Convolutions a, b, c, where a's output is added to c's, then a fully connected head d."""
    net = Sketch(1, 4, 8, 8)
    skip = net.conv("a", 8, 3, 1, 1).relu("relu_a").at
    net.conv("b", 8, 3, 1, 1).relu("relu_b")
    net.conv("c", 8, 3, 1, 1).add("sum", skip).relu("relu_c").flatten("flatten")
    return net.fc("d", 10).graph()


def branches() -> Graph:
    """A convolution a, read by b, by the last sum, and by an activation under b that c reads."""
    net = Sketch(1, 4, 8, 8)
    shared = net.conv("a", 8, 3, 1, 1).relu("relu_a").at
    left = net.conv("b", 8, 3, 1, 1).at
    net.at = shared
    net.relu("late")
    return net.conv("c", 8, 3, 1, 1).add("sum", left).add("skip", shared).graph()


def whole(device: str, *layers: str) -> Stage:
    name = layers[0] if len(layers) == 1 else f"{layers[0]}..{layers[-1]}"
    return Stage(name, layers, "whole", (Share(device, 0, 0),))


def split(layer: str, *shares: tuple[str, int, int], parity: tuple[str, ...] = ()) -> Stage:
    return Stage(layer, (layer,), "output", tuple(Share(*share) for share in shares), parity)


def allocate(graph: Graph, *stages: Stage, **model: Any) -> Allocation:  # noqa: ANN401
    """An allocation over as many equal devices pi1, pi2, ... as its stages use."""
    used = {name for stage in stages for name in stage.devices}
    return Allocation(equal_cluster(len(used)), spec(**model), graph.digest, stages)
