"""The dynamic programming: the cheapest row of runs, with the layout between them as the state."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from math import inf

from edgesplit.plan.search.exchange import Cost
from edgesplit.plan.search.layouts import REQUEST, Layout
from edgesplit.plan.search.pricing import Pricing
from edgesplit.plan.search.runs import Run

Measure = Callable[[Cost], float]
"""What a cost counts; it is added up."""


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Runs up to a layer, as the last one and those before it."""

    score: float = 0.0
    last: Run | None = None
    before: Path | None = None

    @property
    def steps(self) -> tuple[tuple[Layout, Run], ...]:
        """The runs in order, each with the layout that it begins with."""
        found: list[tuple[Layout, Run]] = []
        path = self
        while path.last is not None and path.before is not None:
            before = path.before.last
            found.append((before.after if before else REQUEST, path.last))
            path = path.before
        return tuple(reversed(found))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs in order."""
        return tuple(run for _, run in self.steps)


def cheapest(
    pricing: Pricing, runs: Iterable[Run], measure: Measure, together: Container[int] = ()
) -> Path | None:
    """Return the cheapest path through all layers that is made of these runs.

    A run that begins with a layer of `together` is on the devices of the run before.
    """
    length = len(pricing.runs.anatomy)
    starting: list[list[Run]] = [[] for _ in range(length)]
    for run in runs:
        starting[run.start].append(run)
    reached: list[dict[Layout, Path]] = [{} for _ in range(length + 1)]
    reached[0][REQUEST] = Path()
    for start in range(length):
        before = dict(sorted(reached[start].items(), key=lambda item: item[1].score))
        for run in starting[start]:
            held = reached[run.end].get(run.after)
            able = _on_devices_of(run, before) if start in together else before
            path = _extended(pricing, able, run, measure, held)
            if path is not None:
                reached[run.end][run.after] = path
    ends = (
        Path(path.score + measure(pricing.answer(layout)), path.last, path.before)
        for layout, path in reached[-1].items()
    )
    return min(ends, key=lambda path: path.score, default=None)


def _on_devices_of(run: Run, before: dict[Layout, Path]) -> dict[Layout, Path]:
    devices = set(run.layout.devices)
    return {
        layout: path
        for layout, path in before.items()
        if path.last and set(path.last.layout.devices) == devices
    }


def _extended(
    pricing: Pricing, before: dict[Layout, Path], run: Run, measure: Measure, held: Path | None
) -> Path | None:
    """Return the cheapest path with a run at its end; None where the one that is held is better.

    `before` are paths in order of their scores, by the layout that they lead to.
    """
    best, least = None, held.score if held is not None else inf
    floor = measure(pricing.least(run))
    tried: dict[Layout, Path] = {}
    if run.layout in before:  # Most often the best: what is beyond it needs no exact price.
        tried[run.layout] = before[run.layout]
    for layout, path in (tried | before).items():
        if path.score + floor >= least:
            continue
        if layout != run.layout and path.score + measure(pricing.least(run, layout)) >= least:
            continue
        score = path.score + measure(pricing.run(layout, run))
        if score < least:
            best, least = Path(score, run, path), score
    return best
