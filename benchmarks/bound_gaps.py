"""How far the search's plans are from the certified bound: the table of docs/bound.md.

    python benchmarks/bound_gaps.py [MODEL ...]

Plans every model of the zoo over equal Raspberry Pi 3 with 100 Mbit/s each, the gateway beside them
at 1 Gbit/s; images travel as bytes. No budgets, no parity: what the bound is about is speed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from edgesplit.graph.model import Graph
from edgesplit.plan.bound import lower_bound
from edgesplit.plan.planner import graph_of
from edgesplit.plan.search import search
from edgesplit.spec.boards import FAST_ETHERNET, GIGABIT
from edgesplit.spec.cluster import Cluster, Device
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.zoo.cache import cache_folder
from edgesplit.zoo.catalogue import ZOO, describe

COUNTS = (2, 4, 6, 8, 12)


def main(names: list[str]) -> None:
    """Print a row of Markdown for each model."""
    print(f"| model | {' | '.join(map(str, COUNTS))} |\n|---|{'---|' * len(COUNTS)}")
    for name in names or ZOO:
        model = _model(name)
        cells = " | ".join(_cells(graph_of(model, cache_folder()), model))
        print(f"| {name} | {cells} |", flush=True)


def _model(name: str) -> ModelSpec:
    """Return a model without parity, its images as bytes; of one channel they are floats."""
    known = describe(name)
    coloured = known.inputs[0].shape[1] > 1
    pixels = replace(known.preprocessing, dtype="uint8" if coloured else "float32")
    return ModelSpec(Source(zoo=name), preprocessing=pixels, parity=0)


def _cells(graph: Graph, model: ModelSpec) -> Iterator[str]:
    for count in COUNTS:
        cluster = Cluster("gaps", tuple(_device(n) for n in range(count)), GIGABIT)
        found, bound = search(graph, cluster, model).predicted, lower_bound(graph, cluster)
        gap = bound.gap(found, "latency")
        yield f"{found.latency * 1e3:.3g} / {bound.latency * 1e3:.3g} ms: **{gap:.2f}**"


def _device(number: int) -> Device:
    return Device(
        name=f"pi{number}",
        connection="ssh",
        host=f"pi{number}",
        address=f"pi{number}",
        port=47310,
        profile="raspberry-pi-3b",
        memory=8 << 30,
        cores=4,
        link=FAST_ETHERNET,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
