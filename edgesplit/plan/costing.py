"""What stages cost on devices: the estimate that Procedure 1 chooses by."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from edgesplit.cost.chain import Chain, Rows, Traffic
from edgesplit.cost.memory import Footprint, footprint
from edgesplit.cost.profiles import Measured, Profile, profile_of
from edgesplit.cost.work import nbytes
from edgesplit.plan.splittable import channels
from edgesplit.spec.cluster import Device, Link


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a stage adds to a request's latency, and how long it keeps its busiest resource."""

    latency: float
    busiest: float


_Key = tuple[int, int, int, Profile, Link]
"""A run of layers, and what of a device decides its cost."""


@dataclass(frozen=True)
class Costing:
    """Costs of runs of layers under given splits.

    `window` is the number of open requests, `measured` holds the profiles that replace others.
    """

    chain: Chain
    window: int
    measured: Measured = field(default_factory=dict)
    _seen: dict[_Key, StageCost | None] = field(default_factory=dict, compare=False)
    _times: dict[Profile, tuple[float, ...]] = field(default_factory=dict, compare=False)

    def whole(self, start: int, end: int, device: Device) -> StageCost | None:
        """Return the cost of the layers `[start, end)` on one device; None where they don't fit."""
        profile = profile_of(device, self.measured)
        key = (start, end, device.memory, profile, device.link)
        if key not in self._seen:
            fits = self.footprint(start, end).total <= device.memory
            self._seen[key] = self._whole(start, end, device) if fits else None
        return self._seen[key]

    def footprint(self, start: int, end: int) -> Footprint:
        """Return the memory of an executor that runs the layers `[start, end)` whole."""
        work = self.chain.work(start, end)
        crossing = self.chain.arriving[start][end] + self.chain.leaving[start][end]
        return footprint(work, crossing.nbytes, self.window)

    def core(self, index: int) -> Footprint:
        """Return the memory that a layer takes in any group: without what crosses its borders."""
        return footprint(self.chain.works[index], 0, self.window)

    def block_footprint(self, index: int, block: int) -> Footprint:
        """Return the memory of an executor that holds a block of so many channels of a layer."""
        fraction = block / self._channels(index)
        work = self.chain.alone[index].share(fraction)
        request = self.chain.arriving[index][index + 1].nbytes + self._output(index) * fraction
        return footprint(work, request, self.window)

    def most_channels(self, index: int, memory: int) -> int:
        """Return how many channels of a layer fit a budget in bytes; -1 if not even none."""
        blocks = range(self._channels(index) + 1)
        fits = bisect_right(blocks, memory, key=lambda n: self.block_footprint(index, n).total)
        return fits - 1

    def speed(self, index: int, device: Device) -> float:
        """Return how many times a second a device could do the whole layer's arithmetic."""
        return 1 / max(self.chain.works[index].seconds(profile_of(device, self.measured)), 1e-12)

    def block(self, index: int, block: int, device: Device) -> StageCost:
        """Return the cost of a block of so many channels of a layer on a device."""
        fraction = block / self._channels(index)
        profile = profile_of(device, self.measured)
        work = self.chain.works[index].share(fraction).seconds(profile) + profile.step_seconds
        leaving = Traffic(self._output(index) * fraction, 1)
        return self._stage(work, self.chain.arriving[index][index + 1], leaving, index + 1, device)

    def gain(self, index: int, rows: Rows, device: Device) -> float:
        """Return the most seconds a request that splitting a layer, now on a device, may save.

        Less arithmetic on each device, against the copies of the input and the way of the output.
        """
        block = -(-self._channels(index) // rows.data)
        copies = (rows.data + rows.parity - 1) * self.chain.arriving[index][index + 1].nbytes
        spent = self.block(index, block, device).latency + copies / device.link.bandwidth
        return self.chain.works[index].seconds(profile_of(device, self.measured)) - spent

    def _whole(self, start: int, end: int, device: Device) -> StageCost:
        profile = profile_of(device, self.measured)
        seconds = self._elapsed(profile)
        work = seconds[end] - seconds[start] + profile.step_seconds
        arriving, leaving = self.chain.arriving[start][end], self.chain.leaving[start][end]
        return self._stage(work, arriving, leaving, end, device)

    def _stage(
        self, work: float, arriving: Traffic, leaving: Traffic, end: int, device: Device
    ) -> StageCost:
        """Price a stage's messages and bytes; a split successor gets a copy for each device."""
        rows = self.chain.splits.get(end, Rows(1))
        copies = rows.data + rows.parity
        messages = arriving.messages + leaving.messages * copies
        profile = profile_of(device, self.measured)
        price = messages * profile.end_seconds
        price += (arriving.nbytes + leaving.nbytes * copies) * profile.byte_seconds
        received = arriving.nbytes / device.link.bandwidth
        sent = leaving.nbytes * copies / device.link.bandwidth
        # The successor counts the first copy as received; the others leave one after the other.
        repeated = sent * (copies - 1) / copies
        return StageCost(
            latency=work + received + repeated + price + device.link.latency,
            busiest=max(work, received, sent, price),
        )

    def _elapsed(self, profile: Profile) -> tuple[float, ...]:
        if profile not in self._times:
            seconds = (work.seconds(profile) for work in self.chain.works)
            self._times[profile] = tuple(accumulate(seconds, initial=0.0))
        return self._times[profile]

    def _channels(self, index: int) -> int:
        return channels(self.chain.graph, self.chain.graph.layers[index])

    def _output(self, index: int) -> int:
        """Bytes of the heavy operator's output."""
        heavy = self.chain.graph.layers[index].heavy
        assert heavy is not None  # noqa: S101 - asked for splittable layers only
        return nbytes(self.chain.graph.values[heavy.outputs[0]])
