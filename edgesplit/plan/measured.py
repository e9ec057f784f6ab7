"""From measured databases to what work costs on the devices of a cluster, for one model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from edgesplit.cost.crowd import Crowd, price
from edgesplit.cost.database import Database, Session
from edgesplit.cost.kernel import Kernel
from edgesplit.cost.pace import MESSAGE_SECONDS
from edgesplit.cost.profiles import GENERIC, Measured, Profile, profile
from edgesplit.cost.work import ROW_WEIGHTS, layer_work
from edgesplit.graph.model import Graph
from edgesplit.spec.cluster import Cluster, Device

_PAIR = 2
"""Devices that were at work when messages were measured without a crowd."""


def measured_profiles(
    graph: Graph, cluster: Cluster, databases: Mapping[str, Database]
) -> Measured:
    """Return the profiles of the devices whose class was measured.

    Args:
        graph: The model; its own kernels decide by which speeds it is shared out.
        cluster: The devices.
        databases: What was measured, by device.
    """
    kernels = tuple(_kernels(graph))
    kinds = {
        device.name: (device.profile, device.pace, databases[device.name])
        for device in cluster.devices
        if device.name in databases
    }
    # Devices of one kind have the same profile, not just an equal one: that is how they are told.
    examples = {kind: cluster.device(name) for name, kind in kinds.items()}
    profiles = {
        kind: _crowded(_profile(graph, device, kind[-1], kernels), kind[-1], cluster)
        for kind, device in examples.items()
    }
    return {name: profiles[kind] for name, kind in kinds.items()}


def _crowded(alone: Profile, database: Database, cluster: Cluster) -> Profile:
    """Return the profile of a device among all those of a cluster, if its messages are known."""
    known = database.crowds.get(cluster.name)
    if not known:
        return alone
    if known[0].devices > _PAIR:
        known = (Crowd(_PAIR, alone.message_seconds, 0.0), *known)
    crowd = price(known, len(cluster.devices))
    return replace(alone, message_seconds=crowd.message, byte_seconds=crowd.byte, crowds=known)


def _kernels(graph: Graph) -> Iterator[Kernel]:
    for layer in graph.layers:
        yield from layer_work(graph, layer).kernels


def _profile(
    graph: Graph, device: Device, database: Database, kernels: Sequence[Kernel]
) -> Profile:
    board = GENERIC if device.pace is not None else profile(device.profile)
    whole = database.models.get(graph.digest)
    if whole is not None:
        database = database.with_sessions([Session(tuple(kernels), whole)])
    matrices = [one for one in kernels if one.op in ROW_WEIGHTS]
    maps = [one for one in kernels if one.op not in ROW_WEIGHTS]
    macs, weights = sum(one.macs for one in maps), sum(one.weights for one in matrices)
    found = replace(
        board,
        macs_per_second=_rate(macs, maps, database) or board.macs_per_second,
        weight_bytes_per_second=_rate(weights, matrices, database) or board.weight_bytes_per_second,
        step_seconds=(board.step_seconds if database.step is None else database.step)
        + database.run,
        message_seconds=board.message_seconds if database.message is None else database.message,
        database=database,
    )
    if device.pace is None:
        return found
    seconds = database.together(kernels) + database.run
    return _paced(found, slowdown(device.pace, graph, seconds), database.run)


def _rate(amount: float, kernels: Iterable[Kernel], database: Database) -> float:
    seconds = sum(map(database.seconds, kernels))
    return amount / seconds if seconds else 0.0


def _paced(found: Profile, factor: float, run: float) -> Profile:
    """Return the profile of a device that holds its tasks back; what edgesplit itself costs stays.

    Running a session at all, `run` seconds, is slowed down with it, and an end of a message is held
    back with the task that it belongs to.
    """
    return replace(
        found,
        macs_per_second=found.macs_per_second / factor,
        weight_bytes_per_second=found.weight_bytes_per_second / factor,
        step_seconds=found.step_seconds + (factor - 1) * run,
        held_seconds=MESSAGE_SECONDS * factor,
        scale=factor,
    )


def slowdown(pace: float | str, graph: Graph, seconds: float) -> float:
    """Return how many times slower than this machine a paced device is.

    A board's factor is what its profile needs for the whole model over the `seconds` that this
    machine does: the board's speed comes from published figures, the efficiency of shards from
    measurement.
    """
    if not isinstance(pace, str):
        return pace
    board = profile(pace)
    return sum(board.compute(layer.macs, layer.weight_bytes) for layer in graph.layers) / seconds
