"""Tuning: deploy a plan, see what it takes, correct what plans are made with, and plan again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.keys import gateway_keys
from edgesplit.errors import PlanError
from edgesplit.operate.bench import Contestant, Run, measure
from edgesplit.operate.gateway import join
from edgesplit.operate.launch import launch
from edgesplit.operate.load import Pattern
from edgesplit.operate.prepare import Progress
from edgesplit.operate.profile import profiles_folder
from edgesplit.operate.trial import open_trial
from edgesplit.plan.allocation import Allocation, Prediction
from edgesplit.plan.correction import corrected
from edgesplit.plan.databases import class_of, save_database
from edgesplit.plan.file import write_allocation
from edgesplit.plan.planner import Planned, Problem, Strategy

EXACT = 0.05
"""A prediction that is off by less is taken as right."""

WORTHWHILE = 0.02
"""A plan that promises less gain than this isn't worth another deployment."""


@dataclass(frozen=True)
class Round:
    """One round: the plan that was deployed, what was promised, and what it took.

    `alone` was measured with one request at a time, `loaded` with the window full, where queues
    show. `promised` is what the next plan promises on the corrected costs.
    """

    number: int
    allocation: Allocation
    alone: Run
    loaded: Run
    promised: Prediction

    @property
    def error(self) -> float:
        """Measured latency over the predicted one, minus 1."""
        return self.alone.latency_error

    @property
    def reached(self) -> float:
        """Seconds that the objective counts: of a request, or between two answers."""
        if self.allocation.model.objective == "throughput":
            return 1 / self.loaded.throughput if self.loaded.throughput else inf
        return self.alone.latency.mean

    @property
    def hoped(self) -> float:
        """What the next plan promises of the same seconds."""
        if self.allocation.model.objective == "throughput":
            return 1 / self.promised.throughput
        return self.promised.latency

    @property
    def settled(self) -> bool:
        """Whether the prediction held and the next plan promises no worthwhile gain."""
        return abs(self.error) <= EXACT and self.hoped > (1 - WORTHWHILE) * self.reached


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to tune: where the allocation goes, how it is planned, and how long it is measured."""

    path: Path
    strategy: Strategy
    seed: int = 0
    rounds: int = 5
    requests: int = 40


def tune(
    problem: Problem,
    tuning: Tuning,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    told: Callable[[Round], None] = lambda _: None,
) -> tuple[Round, ...]:
    """Tune until predictions hold and plans stop getting better; the best plan stays deployed.

    The allocation file and the cost databases are written in every round, of which `told` hears.

    Raises:
        PlanError: There is no plan, or a class of devices was never profiled.
        EdgesplitError: The deployment failed.
    """
    _require_profiles(problem)
    rounds: list[Round] = []
    planned = problem.solve(tuning.strategy, tuning.seed)
    while len(rounds) < tuning.rounds and not (rounds and rounds[-1].settled):
        _deploy(planned.allocation, tuning.path, progress, ask)
        alone, loaded = _measured(planned, tuning)
        problem = _corrected(problem, planned, alone)
        following = problem.solve(tuning.strategy, tuning.seed)
        rounds.append(
            Round(
                len(rounds) + 1, planned.allocation, alone, loaded, following.allocation.predicted
            )
        )
        told(rounds[-1])
        planned = following
    best = min(rounds, key=lambda one: one.reached)
    if best is not rounds[-1]:
        _deploy(best.allocation, tuning.path, progress, ask)
    return tuple(rounds)


def _require_profiles(problem: Problem) -> None:
    missing = {class_of(device) for device in problem.cluster.devices} - problem.databases.keys()
    if missing:
        raise PlanError(
            f"devices of the class {min(missing)} were never profiled, so there is nothing to tune",
            where=problem.cluster.name,
            remedy="run `edgesplit profile` with the same files first",
        )


def _deploy(allocation: Allocation, path: Path, progress: Progress, ask: Ask | None) -> None:
    write_allocation(allocation, path)
    launch(path, progress, ask)


def _measured(planned: Planned, tuning: Tuning) -> tuple[Run, Run]:
    """Measure a deployed plan with one request at a time, and with its window full."""
    trial = open_trial(tuning.path)
    work, prediction = trial.random_work(tuning.seed), planned.allocation.prediction
    deadline, window = trial.record.deadline, planned.allocation.model.window
    with join(trial.record, gateway_keys().secret) as gateway:
        contestant = Contestant("plan", gateway, work, prediction)
        alone = measure(contestant, Pattern(deadline=deadline), tuning.requests)
        full = Pattern(in_flight=window, warm_up=window, deadline=deadline)
        return alone, measure(contestant, full, max(tuning.requests, 2 * window))


def _corrected(problem: Problem, planned: Planned, alone: Run) -> Problem:
    """Correct the databases of the cluster's classes by what was seen, and keep them."""
    databases = corrected(problem, planned, alone.task_seconds, alone.latency.mean)
    for name in {class_of(device) for device in problem.cluster.devices}:
        save_database(databases[name], profiles_folder())
    return replace(problem, databases=databases)
