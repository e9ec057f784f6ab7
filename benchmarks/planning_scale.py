"""How long planning takes: models of the zoo over more and more simulated devices.

    python benchmarks/planning_scale.py [MODEL ...] [--devices 10 100 1000] [--strategy search ...]

Prints a table: processor seconds of planning with the model imported, and what the plan promises.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from edgesplit.errors import PlanError
from edgesplit.plan.planner import Problem, problem
from edgesplit.spec.boards import FAST_ETHERNET, GIGABIT
from edgesplit.spec.cluster import Cluster, Device
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.spec.units import format_seconds
from edgesplit.zoo.cache import cache_folder


def boards(count: int) -> Cluster:
    """Return a cluster of so many Raspberry Pi 3B."""
    names = [f"pi{number}" for number in range(1, count + 1)]
    devices = tuple(
        Device(name, "ssh", name, name, 47310, "raspberry-pi-3b", 640 << 20, 4, FAST_ETHERNET)
        for name in names
    )
    return Cluster("boards", devices, GIGABIT)


def rows(models: list[str], counts: list[int], strategies: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield model, strategy, devices, processor seconds, latency, and devices in use."""
    for model in models:
        spec = ModelSpec(Source(zoo=model))
        asked = problem(boards(1), spec, cache_folder())
        for count in counts:
            for strategy in strategies:
                yield model, strategy, str(count), *_plan(asked.over(boards(count)), strategy)


def _plan(asked: Problem, strategy: str) -> tuple[str, str, str]:
    begin = time.process_time()
    try:
        planned = asked.solve(strategy)  # type: ignore[arg-type]  # argparse has checked it
    except PlanError as error:
        return f"{time.process_time() - begin:.2f} s", error.what, ""
    spent = time.process_time() - begin
    found = planned.allocation.predicted
    return f"{spent:.2f} s", format_seconds(found.latency), str(len(found.devices))


def main() -> None:
    """Plan, and print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["resnet152"])
    parser.add_argument("--devices", nargs="+", type=int, default=[10, 100, 1000])
    parser.add_argument(
        "--strategy", nargs="+", choices=["procedure1", "search"], default=["procedure1", "search"]
    )
    given = parser.parse_args()
    table = Table("model", "strategy", "devices", "planning", "predicted latency", "used")
    for row in rows(given.models, given.devices, given.strategy):
        table.add_row(*row)
        Console(stderr=True).print(" ".join(row))
    Console().print(table)


if __name__ == "__main__":
    main()
