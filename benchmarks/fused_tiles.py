"""Memory of fused tiles: the first 16 layers of YOLOv2 on one device, whole and in grids of tiles.

Prints, for each grid, the largest layer as "DeepThings: Distributed Adaptive Deep Learning
Inference on Resource-Constrained IoT Edge Clusters" counts it, and the peak of an executor's own
memory (weights in mapped files aside) that answers with the tiles one at a time.

    python benchmarks/fused_tiles.py --grids 1 3 5
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.operate.gateway import connect
from edgesplit.operate.launch import launch, take_down
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.file import write_allocation
from edgesplit.plan.layer_memory import largest_layer
from edgesplit.plan.planner import lower_allocation
from edgesplit.plan.predict import predict
from edgesplit.plan.search.layouts import proportional
from edgesplit.spec.cluster_file import parse_cluster
from edgesplit.spec.model_file import parse_model
from edgesplit.zoo.cache import cache_folder
from edgesplit.zoo.model_file import resolve

DEVICE = "pi1"
PORT = 47950
MIB = 1 << 20
PATIENCE = 120.0
REQUESTS = 3


@dataclass(frozen=True)
class Row:
    """A grid: its different shards; bytes of the largest layer, and of the executor.

    `predicted` is what planning says, `peak` what was measured.
    """

    parts: int
    shards: int
    largest: int
    predicted: int
    peak: int


def main() -> None:
    """Deploy each grid in turn, ask, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--input", type=int, default=608)
    options = parser.parse_args()
    rows = [measured(parts, options.input) for parts in options.grids]
    sys.stdout.write("| tiles | shards | largest layer | less | predicted | peak | less |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for row in rows:
        sys.stdout.write(_line(row, rows[0]))


def measured(parts: int, extent: int) -> Row:
    """Deploy a grid of `parts` x `parts` tiles of an input of this extent, and measure it."""
    with TemporaryDirectory() as name:
        allocation, graph = _allocation(parts, extent, Path(name))
        path = Path(name) / "allocation.yaml"
        write_allocation(allocation, path)
        lowered = lower_allocation(allocation, cache_folder()).lowered
        launch(path, lambda _: None)
        try:
            table, peak = _ask(path)
        finally:
            take_down(path, purge=True)
    assert allocation.prediction is not None  # noqa: S101 - made with it
    (expected,) = allocation.prediction.devices
    return Row(parts, table, largest_layer(graph, lowered).total, expected.memory, peak)


def _ask(path: Path) -> tuple[int, int]:
    """Return the number of different shards, and the peak of the executor after some requests."""
    with connect(path, wait=PATIENCE) as gateway:
        shape = gateway.table.inputs[0].shape
        rng = np.random.default_rng(1)
        for _ in range(REQUESTS):
            gateway.infer(rng.random(shape, np.float32), deadline=PATIENCE)
        gateway.drain_beats()
        while not (beats := gateway.drain_beats()):  # One from after the last answer.
            gateway.wait_ready(frozenset({DEVICE}), PATIENCE)
        shards = {task.shard for task in gateway.table.tasks_of(DEVICE)}
        return len(shards), max(beat.anon_peak for beat in beats)


def _allocation(parts: int, extent: int, folder: Path) -> tuple[Allocation, Graph]:
    device = {"connection": "local", "memory": "4 GiB", "cores": 1, "port": PORT}
    device["root"] = str(folder / DEVICE)
    cluster = parse_cluster({"name": "fused-tiles", "devices": {DEVICE: device}})
    source = {"zoo": "yolov2-16", "input": extent}
    model = parse_model({"source": source, "parity": 0, "deadline": "60 s", "window": 1})
    cache = cache_folder()
    graph = import_model(resolve(model.source, cache), cache, "yolov2-16")
    stages = (_stage(graph, parts),)
    allocation = Allocation(cluster, model, graph.digest, stages)
    prediction = predict(graph, allocation)
    return Allocation(cluster, model, graph.digest, stages, prediction), graph


def _stage(graph: Graph, parts: int) -> Stage:
    layers = tuple(layer.name for layer in graph.layers)
    cuts = [proportional(extent, [1] * parts) or () for extent in graph.outputs[0].shape[2:]]
    tiles = tuple(Share(DEVICE, tile=tile) for tile in product(*cuts))
    if parts == 1:
        return Stage("stack", layers, "whole", (Share(DEVICE),))
    return Stage("stack", layers, "spatial", tiles)


def _line(row: Row, whole: Row) -> str:
    cells = (
        f"{row.parts} x {row.parts}",
        str(row.shards),
        f"{row.largest / MIB:.1f} MiB",
        f"{1 - row.largest / whole.largest:.0%}",
        f"{row.predicted / MIB:.1f} MiB",
        f"{row.peak / MIB:.1f} MiB",
        f"{1 - row.peak / whole.peak:.0%}",
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
