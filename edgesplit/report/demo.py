"""How the demo reads: what is about to happen, what happened, and how to do it by hand."""

from __future__ import annotations

from typing import Any

from edgesplit.operate.demo import RATE, VICTIM, Shown, Stand
from edgesplit.report.console import people
from edgesplit.report.drill import drill_result, show_verdict
from edgesplit.report.planning import Findings, show_plan

_BY_HAND = """\
The same by hand:
  edgesplit init my-cluster && cd my-cluster
  edgesplit plan cluster.yaml model.yaml -o allocation.yaml
  edgesplit deploy allocation.yaml
  edgesplit status allocation.yaml
  edgesplit bench allocation.yaml
  edgesplit fail-node allocation.yaml pi3
  edgesplit down allocation.yaml
On real boards: set `connection: ssh` and each device's `host` in cluster.yaml."""


def introduce(stand: Stand) -> None:
    """Say what is deployed and what will be done to it."""
    console = people()
    show_plan(stand.planned, None, Findings())
    console.print(
        "LeNet-5 is so small that one device would be faster; the starter files pin the split of "
        "fc1, to show what happens when a device dies."
    )
    console.print(
        f"sending held-back handwritten digits at {RATE:g}/s; {VICTIM} is going to be killed"
    )


def demo_result(shown: Shown) -> dict[str, Any]:
    """Return the demo as machines read it."""
    accuracy = {phase.value: share for phase, share in shown.accuracy.items()}
    return drill_result(shown.verdict) | {"accuracy": accuracy}


def show_outcome(shown: Shown) -> None:
    """Print what happened, and the commands to do it again."""
    show_verdict(shown.verdict, accuracy=shown.accuracy)
    people().print(_BY_HAND)
