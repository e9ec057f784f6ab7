"""Random assignment: the baseline that plans are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.infeasible import why_infeasible
from edgesplit.plan.pins import Pinned, check_single_stages, resolve, wants_split
from edgesplit.plan.predict import predict
from edgesplit.plan.search.judging import judge
from edgesplit.plan.solver import Solver
from edgesplit.plan.splitting import Cut, cut, wanted
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec

DRAWS = 100
"""Assignments that are drawn until one fits the memory budgets."""


def random_allocation(
    graph: Graph, cluster: Cluster, model: ModelSpec, seed: int, measured: Measured = NOTHING
) -> Allocation:
    """Return each layer on a device drawn at random, predicted; only what must be is split.

    Runs of layers that are drawn onto one device are one stage. Pins hold.

    Raises:
        PlanError: A pin can't be met, the model doesn't fit the devices, or no draw fits them.
    """
    pinned = resolve(graph, cluster, model)
    check_single_stages(graph, pinned)
    drawing = _Drawing(graph, cluster, model, pinned)
    random = Random(seed)  # noqa: S311 - a baseline needs to be repeatable, not secret
    for _ in range(DRAWS):
        allocation = Allocation(cluster, model, graph.digest, drawing.stages(random))
        judged = judge(graph, allocation, measured)
        if judged is not None and not judged.excess:
            return replace(allocation, prediction=predict(graph, allocation, measured))
    raise PlanError(
        f"none of {DRAWS} random assignments of {graph.name} fits the memory budgets",
        remedy="try another seed, or plan with another strategy",
    )


@dataclass(frozen=True)
class _Drawing:
    graph: Graph
    cluster: Cluster
    model: ModelSpec
    pinned: Pinned

    def stages(self, random: Random) -> tuple[Stage, ...]:
        """Draw the stages."""
        cuts = self._cuts(random)
        return tuple(self._stages(cuts, random))

    def _cuts(self, random: Random) -> Mapping[int, Cut]:
        """Split what no device can hold, or what a pin splits, over devices drawn at random."""
        solver = Solver(self.graph, self.model, self.pinned)
        known = {device.name: device for device in self.cluster.devices}
        cuts = {}
        for index in solver.forced(self.cluster.devices):
            want = wanted(index, self.pinned.layers.get(index), self.model.parity, known)
            taken = {device.name for device in (*want.data, *want.coded)}
            pool = [device for device in self.cluster.devices if device.name not in taken]
            random.shuffle(pool)
            made = cut(solver.costing({}), want, pool)
            if made is None:
                raise why_infeasible(self.graph, self.cluster, self.model)
            cuts[index] = made
        return cuts

    def _stages(self, cuts: Mapping[int, Cut], random: Random) -> Iterator[Stage]:
        run: list[str] = []
        home = ""
        for index, layer in enumerate(self.graph.layers):
            device = "" if index in cuts else self._home(index, random)
            if run and device != home:
                yield _whole(run, home)
                run = []
            if device:
                run, home = [*run, layer.name], device
            else:
                yield _split(layer.name, cuts[index])
        if run:
            yield _whole(run, home)

    def _home(self, index: int, random: Random) -> str:
        """Return the device that a layer is pinned to, or one drawn at random."""
        drawn = random.choice(self.cluster.devices).name
        pin = self.pinned.layers.get(index)
        pinned = pin.devices if pin is not None and not wants_split(pin) else None
        return pinned[0] if pinned else drawn


def _whole(layers: list[str], device: str) -> Stage:
    name = layers[0] if len(layers) == 1 else f"{layers[0]}..{layers[-1]}"
    return Stage(name, tuple(layers), "whole", (Share(device),))


def _split(layer: str, made: Cut) -> Stage:
    pairs = zip(made.data, made.blocks, strict=True)
    shares = tuple(Share(device.name, *block) for device, block in pairs)
    parity = tuple(device.name for device in made.parity)
    return Stage(layer, (layer,), "output", shares, parity)
