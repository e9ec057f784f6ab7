"""Refining a profile: the shards of the plans made with it are measured, and plans made anew.

The search picks what looks cheapest, and so what is believed to be cheaper than it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from edgesplit.cost.kernel import Kernel
from edgesplit.deploy.hosts import Ask
from edgesplit.errors import PlanError
from edgesplit.operate.prepare import Progress, Stage
from edgesplit.operate.profile import Profiled, Todo, profile_kernels, profiles_folder, sites
from edgesplit.plan.databases import load_databases
from edgesplit.plan.planner import Problem, Strategy
from edgesplit.plan.shard_specimens import shard_specimens
from edgesplit.plan.specimens import Specimen

ROUNDS = 4
_STRATEGIES: tuple[Strategy, ...] = ("search", "procedure1")


def refine(
    problem: Problem,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    force: bool = False,
) -> Iterator[Profiled]:
    """Measure the shards of plans until these are made of shards that are known, or for `ROUNDS`.

    Errors as of `profile_kernels`.
    """
    for _ in range(ROUNDS):
        progress(Stage("plan"))
        problem = replace(problem, databases=load_databases(profiles_folder()))
        wanted = _wanted(problem)
        if not wanted:
            return
        yield from profile_kernels(
            problem.cluster, problem.graph, wanted, progress, ask, force=force
        )


def _wanted(problem: Problem) -> tuple[Todo, ...]:
    devices = sites(problem.cluster)
    found: defaultdict[str, dict[tuple[Kernel, ...], Specimen]] = defaultdict(dict)
    for strategy in _STRATEGIES:
        with suppress(PlanError):  # What can't be planned has no shards.
            for name, every in shard_specimens(problem.solve(strategy)).items():
                found[name] |= {one.kernels: one for one in every}
    return tuple(
        Todo(name, devices[name], problem.databases[name], tuple(new.values()), 0)
        for name, new in found.items()
    )
