"""Why a plan is as it is: what each stage costs, the next best way, and one device more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from edgesplit.cost.profiles import NOTHING, Measured, profile_of
from edgesplit.cost.work import layer_work
from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Prediction, Stage
from edgesplit.plan.devices import fastest_first
from edgesplit.plan.lower import Lowered, lower
from edgesplit.plan.pins import resolve
from edgesplit.plan.predict import task_seconds, works_of
from edgesplit.plan.search.drawing import stages
from edgesplit.plan.search.groups import layouts
from edgesplit.plan.search.judging import Judged, judge
from edgesplit.plan.search.layouts import Layout, Parts
from edgesplit.plan.search.permitted import Permits
from edgesplit.plan.search.runs import Run, Runs
from edgesplit.spec.cluster import Cluster, Device


@dataclass(frozen=True, slots=True)
class Choice:
    """A stage and the next best way to cut its layers, all other stages left as they are.

    `alone` are the seconds that its layers take on the fastest device in use, `share` those of
    its slowest task; `fetched` the bytes that its tasks receive from others. `runner_up` is empty
    where there is no other way; `penalty` are the seconds that it would add to the objective.
    """

    stage: Stage
    alone: float
    share: float
    fetched: int
    runner_up: tuple[Stage, ...] = ()
    penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The choices of a plan in order; `larger` is what a device more, like the last, would reach.

    `larger` is None where the model can't be planned on more devices.
    """

    choices: tuple[Choice, ...]
    larger: Prediction | None


def explain(
    graph: Graph,
    allocation: Allocation,
    replan: Callable[[Cluster], Allocation],
    measured: Measured = NOTHING,
) -> Explanation:
    """Return why an allocation is as it is; each replica as if it were alone.

    Args:
        graph: The model.
        allocation: The plan.
        replan: Plans the model on another cluster, in the same way.
        measured: What was measured of the devices.
    """
    ways = (replace(allocation, stages=stages, replicas=()) for stages in allocation.variants)
    choices = (_Explaining(graph, way, measured).choices() for way in ways)
    return Explanation(tuple(chain.from_iterable(choices)), _larger(allocation, replan))


def _larger(allocation: Allocation, replan: Callable[[Cluster], Allocation]) -> Prediction | None:
    cluster = allocation.cluster
    last = cluster.devices[-1]
    more = replace(last, name=f"{last.name}+1")
    try:
        return replan(replace(cluster, devices=(*cluster.devices, more))).prediction
    except PlanError:  # Pins may name what one device more can't change.
        return None


class _Explaining:
    def __init__(self, graph: Graph, allocation: Allocation, measured: Measured) -> None:
        self._graph, self._allocation, self._measured = graph, allocation, measured
        self._devices = allocation.cluster.devices
        self._numbers = {device.name: index for index, device in enumerate(self._devices)}
        self._layers = {layer.name: index for index, layer in enumerate(graph.layers)}
        self._runs = Runs(graph, Parts(self._devices, measured), allocation.model.window)

    def choices(self) -> tuple[Choice, ...]:
        lowered = lower(self._graph, self._allocation)
        works = works_of(self._graph, lowered)
        seconds = task_seconds(self._allocation, lowered, works, self._measured)
        judged = judge(self._graph, self._allocation, self._measured)
        assert judged is not None  # noqa: S101 - there is no limit to be worse than
        return tuple(
            self._choice(index, stage, lowered, seconds, judged)
            for index, stage in enumerate(self._allocation.stages)
        )

    def _choice(
        self,
        index: int,
        stage: Stage,
        lowered: Lowered,
        seconds: Mapping[int, float],
        judged: Judged,
    ) -> Choice:
        table = lowered.table
        tasks = [task for task in table.tasks if task.stage == stage.name]
        plain = Choice(
            stage,
            alone=self._alone(stage),
            share=max(seconds[task.id] for task in tasks),
            fetched=sum(flow.nbytes for task in tasks for flow in table.received(task)),
        )
        others = filter(None, (self._judged(index, other) for other in self._others(stage)))
        second = min(others, key=lambda found: found[0].rank, default=None)
        if second is None:
            return plain
        return replace(plain, runner_up=second[1], penalty=second[0].rank[0] - judged.rank[0])

    def _alone(self, stage: Stage) -> float:
        """Return the seconds that a stage's layers take whole on the fastest device in use."""
        best = fastest_first(self._used(), self._measured)[0]
        profile = profile_of(best, self._measured)
        layers = (layer_work(self._graph, self._graph.layer(name)) for name in stage.layers)
        return profile.step_seconds + sum(work.seconds(profile) for work in layers)

    def _used(self) -> Sequence[Device]:
        used = set(chain.from_iterable(stage.devices for stage in self._allocation.stages))
        return [device for device in self._devices if device.name in used]

    def _judged(
        self, index: int, other: tuple[Stage, ...]
    ) -> tuple[Judged, tuple[Stage, ...]] | None:
        every = self._allocation.stages
        changed = replace(self._allocation, stages=(*every[:index], *other, *every[index + 1 :]))
        judged = judge(self._graph, changed, self._measured)
        return None if judged is None or judged.excess else (judged, other)

    def _others(self, stage: Stage) -> Iterator[tuple[Stage, ...]]:
        """Yield other ways to cut a stage's layers over the devices in use, that pins allow."""
        at = [self._layers[name] for name in stage.layers]
        if at != list(range(at[0], at[-1] + 1)):  # Its layers lie on several branches.
            return
        model = self._allocation.model
        pinned = resolve(self._graph, self._allocation.cluster, model)
        permits = Permits(self._graph, model, pinned, self._numbers)
        order = fastest_first(self._used(), self._measured)
        group = tuple(self._numbers[device.name] for device in order)
        for layout in layouts(group, model, pinned, self._numbers):
            for path in self._paths(layout, at[0], at[-1] + 1):
                if all(map(permits.allows, path)):
                    found = stages(self._runs, path)
                    if [replace(one, name="") for one in found] != [replace(stage, name="")]:
                        yield found

    def _paths(self, layout: Layout, start: int, end: int) -> Iterator[Sequence[Run]]:
        """Yield the run over all the layers in a layout, and one run after the other."""
        under = [run for run in self._runs.under(layout) if start <= run.start < run.end <= end]
        whole = [run for run in under if (run.start, run.end) == (start, end)]
        yield from ([run] for run in whole)
        steps = {run.start: run for run in reversed(under) if run not in whole}
        path: list[Run] = []
        at = start
        while at in steps:
            path.append(steps[at])
            at = steps[at].end
        if at == end:
            yield path
