"""Replicas on paced local devices: how throughput grows with the devices that hold the model.

Deploys one model over one, two and four devices side by side, each plan made for throughput, and
measures them in alternating rounds, with one request in flight and with full windows. Prints the
requests a second, how many times more than over the first, the mean latency, and why a run doesn't
count where pacing slipped.

    python benchmarks/replicas.py --requests 400 --rounds 4
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edgesplit.operate.bench import Comparison, Contestant, compare
from edgesplit.operate.gateway import connect
from edgesplit.operate.launch import launch, take_down
from edgesplit.operate.load import Pattern
from edgesplit.operate.trial import open_trial
from edgesplit.plan.file import write_allocation
from edgesplit.plan.planner import plan_files
from edgesplit.zoo.cache import cache_folder

CLUSTER = """\
name: {name}
defaults: {{connection: local, profile: raspberry-pi-3b, pace: {pace}, cores: 1, port: {port},
  memory: 640 MiB}}
devices: {{{devices}}}
"""
MODEL = "source: {source}\nobjective: throughput\ndeadline: 20 s\nwindow: 16\n"


def main() -> None:
    """Deploy, measure, print, take down; exit code 1 unless every answer was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="zoo:lenet5")
    parser.add_argument("--pace", default="100", help="factor, or a board's name")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--requests", type=int, default=400, help="per cluster, over all rounds")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        contestants = [
            stack.enter_context(_deployed(Path(folder), count, options.source, options.pace))
            for count in options.devices
        ]
        for in_flight in (1, 16):
            pattern = Pattern(in_flight=in_flight, warm_up=16, deadline=20.0)
            found = compare(contestants, pattern, requests=options.requests, rounds=options.rounds)
            _show(found, in_flight)
            if not all(run.counts.clean for run in found.runs):
                sys.exit(1)


@contextmanager
def _deployed(folder: Path, count: int, source: str, pace: str) -> Iterator[Contestant]:
    name, port = f"replicas-{count}", 20000 + 20 * secrets.randbelow(500)
    here = folder / name
    here.mkdir()
    devices = ", ".join(f"pi{n}: {{}}" for n in range(1, count + 1))
    text = CLUSTER.format(name=f"{name}-{port}", pace=pace, port=port, devices=devices)
    (here / "cluster.yaml").write_text(text)
    (here / "model.yaml").write_text(MODEL.format(source=source))
    planned = plan_files(here / "cluster.yaml", here / "model.yaml", cache_folder())
    path = here / "allocation.yaml"
    write_allocation(planned.allocation, path)
    launch(path)
    try:
        work = open_trial(path).random_work(seed=0)
        with connect(path, wait=60.0) as gateway:
            ways = len(planned.allocation.variants)
            title = f"{count} devices, {ways} ways"
            yield Contestant(title, gateway, work, planned.allocation.prediction)
    finally:
        take_down(path, purge=True)


def _show(found: Comparison, in_flight: int) -> None:
    base = found.runs[0]
    for run in found.runs:
        row = {
            "run": run.name,
            "in_flight": in_flight,
            "per_s": round(run.throughput, 2),
            "over_first": round(run.throughput / base.throughput, 2),
            "latency_ms": round(1e3 * run.latency.mean, 1),
            "lost": run.counts.lost,
            "wrong": run.counts.wrong,
            "busy": [round(device.busy, 2) for device in run.devices],
            "void": run.void,
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
