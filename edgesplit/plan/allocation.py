"""The allocation: who does what, with the predictions that the choice was made on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec

Split = Literal["whole", "output", "input", "spatial"]


@dataclass(frozen=True, slots=True)
class Share:
    """What a device has of its stage: a block `[lo, hi)` of channels, or a tile of the map.

    `tile` has a pair of bounds for every spatial axis; it is empty under other splits.
    """

    device: str
    lo: int = 0
    hi: int = 0
    tile: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers under one split; a device may have several shares of them.

    `whole`: one share, all layers on that device.
    `output`: the first layer's output is cut on axis 1 into one block a share, in order; later
    layers go on in the same blocks (depthwise convolutions do). `parity` names the devices of the
    parity rows, in row order; a stage with parity has one layer and ends at its linear output,
    one without ends where blocks can't go on.
    `input`: the last layer's sum is cut on its input channels into one block a share, in order;
    layers before it make the block they are given, so that two layers need one merge. `merge` says
    who adds the partial sums, in blocks of output channels; where it is empty, everyone who reads
    them does.
    `spatial`: every share makes a tile of the map, and what it overlaps with others of the maps
    before; the map is that of the last value that leaves the stage, others are cut in proportion.
    """

    name: str
    layers: tuple[str, ...]
    split: Split
    shares: tuple[Share, ...]
    parity: tuple[str, ...] = ()
    merge: tuple[Share, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices of the data shards, then those of the parity shards, then those that merge."""
        data = (share.device for share in self.shares)
        return (*data, *self.parity, *(share.device for share in self.merge))


@dataclass(frozen=True, slots=True)
class DevicePrediction:
    """What one device is expected to do for one request.

    `memory` is the executor's peak anonymous bytes in ordinary work, `weights` the bytes of mapped
    weights, `reserved` the bytes that its budget must have beside both (full windows, loading);
    `compute` and `transfer` are seconds a request (transfer: sent and received on its own link), in
    the mean over all requests where replicas share them.
    """

    device: str
    tasks: tuple[str, ...]
    memory: int
    weights: int
    compute: float
    transfer: float
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the allocation is expected to reach: seconds, requests per second, losses survived."""

    latency: float
    throughput: float
    devices: tuple[DevicePrediction, ...]
    survives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Allocation:
    """Stages over a cluster, for one model; each after those whose values it reads.

    `digest` is the digest of the imported graph that the stages were planned on. `replicas` are
    further complete ways through the model: each request takes one, in rotation. Their devices may
    overlap.
    """

    cluster: Cluster
    model: ModelSpec
    digest: str
    stages: tuple[Stage, ...]
    prediction: Prediction | None = None
    replicas: tuple[tuple[Stage, ...], ...] = ()

    @property
    def predicted(self) -> Prediction:
        """The prediction, of an allocation that was planned; ValueError where none was made."""
        if self.prediction is None:
            raise ValueError("this allocation was never predicted")
        return self.prediction

    @property
    def variants(self) -> tuple[tuple[Stage, ...], ...]:
        """All ways through the model: the stages, then those of each replica."""
        return (self.stages, *self.replicas)
