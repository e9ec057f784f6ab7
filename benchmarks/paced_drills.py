"""Drills on a paced local cluster at half its capacity: what a lost device costs in p99.

Runs, in turn and `--repeats` times: nothing harmed, SIGKILL, SIGSTOP of a parity-group device.
Prints lost, wrong and duplicated requests of every run, and the median p99 during / p99 before.

    python benchmarks/paced_drills.py --requests 1000 --repeats 5
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.keys import gateway_keys
from edgesplit.operate.drill import Drill, Fault, Verdict, fail_node
from edgesplit.operate.drilling import capacity
from edgesplit.operate.gateway import join
from edgesplit.operate.launch import launch, take_down
from edgesplit.operate.load import Pattern
from edgesplit.operate.trial import open_trial
from edgesplit.plan.file import write_allocation
from edgesplit.plan.planner import plan_files
from edgesplit.zoo.cache import cache_folder

CLUSTER = """\
name: paced-drills
defaults: {connection: local, profile: raspberry-pi-3b, pace: raspberry-pi-3b, port: 47810}
devices: {pi1: {}, pi2: {}, pi3: {}, pi4: {}, pi5: {}, pi6: {}}
"""
MODEL = """\
source: {zoo: alexnet, width: 0.25}
objective: throughput
deadline: 5 s
pins:
  fc6: {split: output, devices: [pi3, pi4], parity: [pi5]}
"""
VICTIM = "pi4"
FAULTS = (Fault.NONE, Fault.KILL, Fault.PAUSE)


def main() -> None:
    """Deploy, drill, print, take down; exit code 1 unless each request had its one right answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="per run, three phases")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        allocation = _deployed(Path(name))
        try:
            clean = _drill(allocation, options.requests, options.repeats)
        finally:
            take_down(allocation, purge=True)
    sys.exit(0 if clean else 1)


def _deployed(folder: Path) -> Path:
    (folder / "cluster.yaml").write_text(CLUSTER)
    (folder / "model.yaml").write_text(MODEL)
    allocation = folder / "allocation.yaml"
    planned = plan_files(folder / "cluster.yaml", folder / "model.yaml", cache_folder())
    write_allocation(planned.allocation, allocation)
    launch(allocation)
    return allocation


def _drill(path: Path, requests: int, repeats: int) -> bool:
    trial = open_trial(path)
    work = trial.random_work(seed=0)
    verdicts: dict[Fault, list[Verdict]] = {fault: [] for fault in FAULTS}
    with (
        join(trial.record, gateway_keys().secret) as gateway,
        open_fleet(trial.allocation.cluster, trial.record) as fleet,
    ):
        most = capacity(gateway, work)
        pattern = Pattern(rate=most / 2, deadline=trial.record.deadline)
        print(f"capacity {most:.1f}/s; load {most / 2:.1f}/s")
        for _ in range(repeats):
            for fault in FAULTS:
                drill = Drill(VICTIM, fault, requests=-(-requests // 3))
                verdict = fail_node(gateway, fleet, drill, work, pattern)
                print(json.dumps(_row(verdict)), flush=True)
                verdicts[fault].append(verdict)
    for fault, found in verdicts.items():
        ratio = median(verdict.p99_ratio for verdict in found)
        print(f"{fault.value}: median p99 during / before {ratio:.2f}")
    return all(verdict.passed for found in verdicts.values() for verdict in found)


def _row(verdict: Verdict) -> dict[str, Any]:
    total = verdict.total
    return {
        "fault": verdict.drill.fault.value,
        "sent": total.sent,
        "lost": total.lost,
        "wrong": total.wrong,
        "duplicated": total.duplicated,
        "recovered": total.recovered,
        "p99_ms": [round(1e3 * r.latency.p99, 2) for r in verdict.phases],
        "p99_ratio": round(verdict.p99_ratio, 3),
    }


if __name__ == "__main__":
    main()
