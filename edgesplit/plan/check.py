"""Checks of an allocation against its model: files are edited by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Stage
from edgesplit.plan.check_split import check_split, wrong
from edgesplit.plan.publishing import stage_nodes


def check(graph: Graph, allocation: Allocation) -> None:
    """Refuse an allocation that its model doesn't allow.

    Raises:
        PlanError: It was planned on another model, its stages don't cover the layers once in
            order, a split is impossible, or blocks overlap or leave gaps.
    """
    if allocation.digest != graph.digest:
        raise PlanError(
            f"the allocation was planned on another version of {graph.name}",
            remedy="run `edgesplit plan` again",
        )
    _check_stages(graph, allocation.stages)
    for number, stages in enumerate(allocation.replicas, start=1):
        try:
            _check_stages(graph, stages)
        except PlanError as error:
            where = ", ".join(filter(None, (f"replica {number}", error.where)))
            raise PlanError(error.what, where=where, remedy=error.remedy) from error


def _check_stages(graph: Graph, stages: Sequence[Stage]) -> None:
    """Check one way through the model."""
    _check_order(graph, stages)
    _check_names(stages)
    for stage in stages:
        _check_devices(stage)
        check_split(graph, stage)
    _check_values(graph, stages)


def _check_order(graph: Graph, stages: Sequence[Stage]) -> None:
    planned = [name for stage in stages for name in stage.layers]
    wanted = [layer.name for layer in graph.layers]
    if sorted(planned) == sorted(wanted):
        return
    odd = next((name for name in planned if name not in wanted), None)
    missing = next((name for name in wanted if name not in planned), None)
    twice = next((name for name in planned if planned.count(name) > 1), None)
    what = f"layer {twice!r} is in two stages"
    if odd is not None:
        what = f"the model has no layer {odd!r}"
    elif missing is not None:
        what = f"no stage holds layer {missing!r}"
    raise PlanError(what, remedy=f"the layers are {', '.join(wanted)}")


def _check_values(graph: Graph, stages: Sequence[Stage]) -> None:
    """Refuse stages in an order in which one would read what a later one makes."""
    made: set[str] = set()
    every = {name for node in graph.nodes for name in node.outputs}
    for stage in stages:
        nodes = stage_nodes(graph, stage.layers)
        made.update(name for node in nodes for name in node.outputs)
        ahead = next((n for node in nodes for n in node.reads if n in every - made), None)
        if ahead is not None:
            raise wrong(stage, f"it reads {ahead}, which a later stage makes")


def _check_names(stages: Sequence[Stage]) -> None:
    names = Counter(stage.name for stage in stages)
    for stage in stages:
        if names[stage.name] > 1:
            raise wrong(stage, f"{names[stage.name]} stages have this name")


def _check_devices(stage: Stage) -> None:
    """A device may hold several tiles or parts, but only one row of a coded group."""
    twice = [name for name, count in Counter(stage.devices).items() if count > 1]
    if stage.parity and twice:
        raise wrong(stage, f"device {twice[0]} holds two shards of it")
