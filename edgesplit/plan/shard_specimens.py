"""Specimens of a plan: the shards that it would deploy, as far as they weren't measured yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from edgesplit.cost.kernel import Kernel
from edgesplit.plan.databases import class_of
from edgesplit.plan.planner import Planned
from edgesplit.plan.predict import works_of
from edgesplit.plan.specimens import MOST, Specimen
from edgesplit.plan.tasks import kernels_of


def shard_specimens(planned: Planned) -> Mapping[str, tuple[Specimen, ...]]:
    """Return what to measure so that each shard of a plan is known, by device class.

    Kernels apart don't tell how long they take in one session.
    """
    found: defaultdict[str, dict[tuple[Kernel, ...], Specimen]] = defaultdict(dict)
    table, cluster = planned.lowered.table, planned.allocation.cluster
    works = works_of(planned.graph, planned.lowered)
    for spec in planned.lowered.shards:
        device, kernels = table.tasks[spec.task].device, kernels_of(works[spec.task])
        profile = planned.measured.get(device)
        if not kernels or profile is None or profile.database is None:
            continue
        if not profile.database.measured(kernels):
            name = class_of(cluster.device(device))
            found[name].setdefault(kernels, Specimen(spec, kernels))
    return {name: tuple(specimens.values())[:MOST] for name, specimens in found.items()}
