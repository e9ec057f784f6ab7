"""The rehearsal: small models on many devices at once, to see what messages cost in a crowd.

Two devices that talk to each other alone are faster than twelve that all compute and talk. What a
rehearsed request takes beyond its tasks and its way over idle links is the price of its messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from edgesplit.cost.crowd import Crowd
from edgesplit.cost.database import Database
from edgesplit.deploy import deployer
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.keys import gateway_keys
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph
from edgesplit.operate.baseline import beside
from edgesplit.operate.bench import Contestant, measure
from edgesplit.operate.gateway import join
from edgesplit.operate.idle import idle_devices
from edgesplit.operate.launch import launch_prepared
from edgesplit.operate.load import Pattern, Workload
from edgesplit.operate.prepare import Progress, Stage, prepare_planned
from edgesplit.operate.profile import profiles_folder
from edgesplit.operate.workload import random_inputs
from edgesplit.plan.allocation import Allocation, Share, Split
from edgesplit.plan.allocation import Stage as PlannedStage
from edgesplit.plan.crowd import Rehearsed, crowd_of
from edgesplit.plan.databases import class_of, load_databases, save_database
from edgesplit.plan.lower import lower
from edgesplit.plan.planner import Planned, Problem
from edgesplit.plan.search.layouts import Layout, Parts, grids
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec, Source
from edgesplit.zoo.build import Network
from edgesplit.zoo.cache import cache_folder
from edgesplit.zoo.write import random_weights, write

_LAYERS, _ENDS, _EXTENT = 10, 4, 56
_REQUESTS, _WARM_UP = 20, 3
_DEADLINE = 60.0
_FEW = 4
"""Devices whose half is no crowd."""


class _Shape(NamedTuple):
    channels: int
    groups: int


_THIN, _THICK = _Shape(32, 1), _Shape(256, 16)
"""Of the halos of one, bytes hardly count; of the other, they do most."""


def unrehearsed(cluster: Cluster, databases: Mapping[str, Database]) -> bool:
    """Tell whether a rehearsal would tell something new: one device has nobody to talk to."""
    known = [databases.get(class_of(device)) for device in cluster.devices]
    return len(known) > 1 and not all(one and cluster.name in one.crowds for one in known)


def rehearse(
    cluster: Cluster,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    force: bool = False,
) -> tuple[Crowd, ...]:
    """Return what messages cost with half of the devices at work, and with all, and keep it.

    Raises:
        EdgesplitError: A device can't be reached, is busy, or an executor doesn't come up.
    """
    progress(Stage("rehearse"))
    with idle_devices(cluster.devices, cluster.name, lambda _: None, ask, force=force):
        pass
    aside = beside(cluster, "rehearsal")
    found = [
        crowd_of(*(_perform(aside, size, network, ask) for network in (_THIN, _THICK)))
        for size in _sizes(len(cluster.devices))
    ]
    return _keep(cluster, found)


def _sizes(count: int) -> tuple[int, ...]:
    """Return the sizes of the crowds to rehearse; that of a few devices says enough of fewer.

    No more devices take part than there are rows for strips of two.
    """
    most = min(count, _EXTENT // 2)
    return (most // 2, most) if most > _FEW else (most,)


def _perform(cluster: Cluster, size: int, network: _Shape, ask: Ask | None) -> Rehearsed:
    with TemporaryDirectory(prefix="edgesplit-") as folder:
        graph = import_model(_chain(network, Path(folder)), cache_folder())
        planned = _in_tiles(graph, cluster, size)
        try:
            return _run(planned, Path(folder) / "record.json", ask)
        finally:
            deployer.down(cluster, planned.lowered.table.devices, purge=True, ask=ask)


def _run(planned: Planned, record: Path, ask: Ask | None) -> Rehearsed:
    launched = launch_prepared(prepare_planned(planned, "", lambda _: None), record, ask=ask)
    with join(launched.record, gateway_keys().secret) as gateway:
        work = Workload(random_inputs(gateway.table.inputs, 1, 0))
        pattern = Pattern(warm_up=_WARM_UP, deadline=_DEADLINE)
        run = measure(Contestant("rehearsal", gateway, work), pattern, _REQUESTS)
    return Rehearsed(planned, run.task_seconds, run.latency.p50)


def _keep(cluster: Cluster, found: Iterable[Crowd]) -> tuple[Crowd, ...]:
    crowds = tuple(
        Crowd(one.devices, float(f"{one.message:.3g}"), float(f"{one.byte:.3g}")) for one in found
    )
    databases = load_databases(profiles_folder())
    for name in sorted({class_of(device) for device in cluster.devices}):
        old = databases.get(name, Database(name))
        known = {**old.crowds, cluster.name: crowds}
        save_database(replace(old, crowds=known), profiles_folder())
    return crowds


def _chain(shape: _Shape, folder: Path) -> Path:
    """Write a chain whose maps are narrow at both ends: the gateway is not what is rehearsed."""
    net = Network("rehearsal")
    x = net.conv(net.input("x", 1, _ENDS, _EXTENT, _EXTENT), "wide", shape.channels, kernel=1)
    for index in range(_LAYERS):
        x = net.conv(x, f"conv{index}", shape.channels, kernel=3, pad=1, groups=shape.groups)
    net.output(net.conv(x, "narrow", _ENDS, kernel=1))
    return write(net, random_weights(0), folder)


def _in_tiles(graph: Graph, cluster: Cluster, size: int) -> Planned:
    """Plan every layer in tiles over the first devices."""
    devices = cluster.devices[:size]
    *_, layout = grids(tuple(range(len(devices))))
    shares = _shares(Parts(devices), layout, [device.name for device in devices])
    split: Split = "spatial" if len(shares) > 1 else "whole"
    stages = tuple(PlannedStage(layer.name, (layer.name,), split, shares) for layer in graph.layers)
    model = ModelSpec(Source(graph.path), parity=0, deadline=_DEADLINE, window=1)
    allocation = Allocation(cluster, model, graph.digest, stages)
    measured = Problem(graph, cluster, model, load_databases(profiles_folder())).measured
    return Planned(allocation, graph, lower(graph, allocation), measured)


def _shares(parts: Parts, layout: Layout, names: list[str]) -> tuple[Share, ...]:
    if len(names) == 1:
        return (Share(names[0]),)
    tiles = parts.bounds(layout, (_EXTENT, _EXTENT)) or ()
    return tuple(Share(name, tile=tile) for name, tile in zip(names, tiles, strict=True))
