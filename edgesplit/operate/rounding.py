"""What the rounding of a plan's activations costs, before anything is built."""

from __future__ import annotations

from edgesplit.operate.prepare import store_folder
from edgesplit.plan.planner import Planned
from edgesplit.shards.oracle import Oracle, Rounded
from edgesplit.shards.store import Store


def rounding_of(planned: Planned) -> Rounded | None:
    """Return what rounding moves answers by, measured on the whole model and then remembered.

    None where the plan rounds nothing; then nothing is run.
    """
    oracle = Oracle(planned.graph, planned.lowered.table, store=Store(store_folder()))
    return oracle.rounded
