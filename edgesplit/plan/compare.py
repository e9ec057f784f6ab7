"""Strategies side by side, on the same problem."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import get_args

from edgesplit.errors import PlanError
from edgesplit.plan.allocation import Prediction
from edgesplit.plan.planner import Problem, Strategy

DRAWS = 5
"""Random assignments that are averaged: the paper's baseline is a mean, not a lucky draw."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a strategy reaches, in seconds and requests a second: means over several `draws`.

    `devices` are those in use and `survives` those that may die, both of the first draw; `refusal`
    says why there is no plan, and all figures are 0 then.
    """

    strategy: Strategy
    latency: float = 0.0
    throughput: float = 0.0
    devices: int = 0
    survives: int = 0
    draws: int = 0
    refusal: str = ""


def compare(problem: Problem, seed: int = 0) -> tuple[Outcome, ...]:
    """Plan by every strategy; the random one `DRAWS` times, from a seed on."""
    return tuple(_outcome(problem, strategy, seed) for strategy in get_args(Strategy))


def _outcome(problem: Problem, strategy: Strategy, seed: int) -> Outcome:
    draws = DRAWS if strategy == "random" else 1
    try:
        plans = [problem.solve(strategy, seed + draw).allocation for draw in range(draws)]
    except PlanError as error:
        return Outcome(strategy, refusal=error.what)
    found = [plan.prediction for plan in plans if plan.prediction]
    return _mean(strategy, found)


def _mean(strategy: Strategy, found: list[Prediction]) -> Outcome:
    return Outcome(
        strategy,
        latency=mean(one.latency for one in found),
        throughput=mean(one.throughput for one in found),
        devices=len(found[0].devices),
        survives=len(found[0].survives),
        draws=len(found),
    )
