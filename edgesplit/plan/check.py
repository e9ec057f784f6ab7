"""Checks of an allocation against its model: files are edited by hand."""

from __future__ import annotations

from collections import Counter

from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Stage
from edgesplit.plan.generators import coefficients
from edgesplit.plan.splittable import channels, why_not_split


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
    _check_order(graph, allocation)
    _check_names(allocation)
    for stage in allocation.stages:
        _check_devices(stage)
        if stage.split == "output":
            _check_split(graph, stage)
        elif len(stage.shares) != 1 or stage.parity:
            raise _wrong(stage, "a whole stage has one device and no parity")


def _check_order(graph: Graph, allocation: Allocation) -> None:
    planned = [name for stage in allocation.stages for name in stage.layers]
    wanted = [layer.name for layer in graph.layers]
    if planned == wanted:
        return
    odd = next((name for name in planned if name not in wanted), None)
    missing = next((name for name in wanted if name not in planned), None)
    what = "the stages don't hold the layers once each, in the model's order"
    if odd is not None:
        what = f"the model has no layer {odd!r}"
    elif missing is not None:
        what = f"no stage holds layer {missing!r}"
    raise PlanError(what, remedy=f"the layers are {', '.join(wanted)}")


def _check_names(allocation: Allocation) -> None:
    names = Counter(stage.name for stage in allocation.stages)
    for stage in allocation.stages:
        if names[stage.name] > 1:
            raise _wrong(stage, f"{names[stage.name]} stages have this name")


def _check_devices(stage: Stage) -> None:
    twice = [name for name, count in Counter(stage.devices).items() if count > 1]
    if twice:
        raise _wrong(stage, f"device {twice[0]} holds two shards of it")


def _check_split(graph: Graph, stage: Stage) -> None:
    if len(stage.layers) != 1:
        raise _wrong(stage, "an output split holds exactly one layer")
    layer = graph.layer(stage.layers[0])
    reason = why_not_split(graph, layer)
    if reason:
        raise _wrong(stage, f"it can't be split: {reason}")
    ends = [bound for share in stage.shares for bound in (share.lo, share.hi)]
    count = channels(graph, layer)
    tiled = ends[0] == 0 and ends[-1] == count and ends[1:-1:2] == ends[2:-1:2]
    if not tiled or any(share.lo >= share.hi for share in stage.shares):
        raise _wrong(stage, f"its blocks don't tile the channels 0 to {count}")
    if stage.parity:
        coefficients(len(stage.shares), len(stage.parity))


def _wrong(stage: Stage, what: str) -> PlanError:
    return PlanError(what, where=f"stage {stage.name}", remedy="mend it, or plan again")
