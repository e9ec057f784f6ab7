"""Procedure 1, step 1: a layer that no device can hold, in blocks over the fewest that can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgesplit.plan.blocks import UNIT, blocks
from edgesplit.plan.costing import Costing, StageCost
from edgesplit.plan.devices import fastest_first
from edgesplit.plan.generators import MOST_BLOCKS
from edgesplit.plan.splittable import channels
from edgesplit.spec.cluster import Device
from edgesplit.spec.model import Pin

ALIGNED_ROWS = 1024
"""Rows of a fully connected layer from which a unit of 16 costs less than balance gains."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a layer is to be split: the pins on it, and the least number of data devices."""

    index: int
    parity: int
    data: tuple[Device, ...] = ()
    coded: tuple[Device, ...] = ()
    width: int = 2

    @property
    def devices(self) -> int:
        """The least number of devices it takes."""
        return max(self.width, len(self.data)) + self.parity


@dataclass(frozen=True, slots=True)
class Cut:
    """A split layer: data devices with their blocks, then the parity devices."""

    index: int
    data: tuple[Device, ...]
    blocks: tuple[tuple[int, int], ...]
    parity: tuple[Device, ...]

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices of the stage."""
        return (*self.data, *self.parity)

    @property
    def longest(self) -> int:
        """Channels of the largest block, which is what a parity device holds."""
        return max(hi - lo for lo, hi in self.blocks)


def wanted(index: int, pin: Pin | None, parity: int, devices: Mapping[str, Device]) -> Wanted:
    """Return how to split a layer: as its pin says, else with the model's parity."""
    if pin is None:
        return Wanted(index, parity)
    names = pin.parity if isinstance(pin.parity, tuple) else ()
    number = pin.parity if isinstance(pin.parity, int) else parity
    return Wanted(
        index,
        len(names) if isinstance(pin.parity, tuple) else number,
        tuple(devices[name] for name in pin.devices or ()),
        tuple(devices[name] for name in names),
    )


def cut(costing: Costing, want: Wanted, pool: Sequence[Device]) -> Cut | None:
    """Split a layer over the fewest devices of the pool that can hold it; None where none can."""
    layer = costing.chain.graph.layers[want.index]
    most = min(channels(costing.chain.graph, layer), len(pool) + len(want.data))
    if want.parity > 1:
        most = min(most, MOST_BLOCKS)
    widths = [len(want.data)] if want.data else range(want.width, most + 1)
    choices = filter(None, (_choose(costing, want, pool, width) for width in widths))
    return next(filter(None, (_try(costing, want, *choice) for choice in choices)), None)


def stage_cost(costing: Costing, made: Cut) -> StageCost:
    """Return what a split stage adds to a request: its slowest device decides."""
    costs = [
        costing.block(made.index, hi - lo, device)
        for device, (lo, hi) in zip(made.data, made.blocks, strict=True)
    ]
    costs += [costing.block(made.index, made.longest, device) for device in made.parity]
    return StageCost(max(cost.latency for cost in costs), max(cost.busiest for cost in costs))


def _choose(
    costing: Costing, want: Wanted, pool: Sequence[Device], width: int
) -> tuple[tuple[Device, ...], tuple[Device, ...]] | None:
    """Return data and parity devices: of the next ones in the pool, the fastest hold parity.

    That makes throughput the sum of all speeds but the parity's, the upper bound for any code
    that survives as many losses.
    """
    free = width * (not want.data) + want.parity * (not want.coded)
    if free > len(pool):
        return None
    taken = pool[:free]
    coded = want.coded or fastest_first(taken, costing.measured)[: want.parity]
    return want.data or tuple(device for device in taken if device not in coded), coded


def _try(
    costing: Costing, want: Wanted, data: tuple[Device, ...], parity: tuple[Device, ...]
) -> Cut | None:
    layer = costing.chain.graph.layers[want.index]
    count = channels(costing.chain.graph, layer)
    # No block may exceed what the parity devices hold: theirs is as large as the largest.
    room = [costing.most_channels(want.index, device.memory) for device in parity]
    limits = [
        min(costing.most_channels(want.index, device.memory), *room, count) for device in data
    ]
    speeds = [costing.speed(want.index, device) for device in data]
    convolution = layer.heavy is not None and layer.heavy.op == "Conv"
    unit = UNIT if convolution or count >= ALIGNED_ROWS else 1
    found = blocks(count, speeds, limits, unit=unit)
    return None if found is None else Cut(want.index, data, found, parity)
