"""The allocation: who does what, with the predictions that the choice was made on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec


@dataclass(frozen=True, slots=True)
class Share:
    """A device's block `[lo, hi)` on axis 1 of its stage's split value."""

    device: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Consecutive layers under one split.

    `whole`: one share, all layers on that device (its bounds are 0 and 0). `output`: exactly one
    layer, whose heavy operator's output is cut on axis 1 into one block a share, in order.
    `parity` names the devices of the parity rows, in row order; a stage with parity ends at the
    heavy operator's linear output, one without ends after the light operators.
    """

    name: str
    layers: tuple[str, ...]
    split: Literal["whole", "output"]
    shares: tuple[Share, ...]
    parity: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices of the data shards, then those of the parity shards."""
        return (*(share.device for share in self.shares), *self.parity)


@dataclass(frozen=True, slots=True)
class DevicePrediction:
    """What one device is expected to do for one request.

    `memory` is the executor's peak anonymous bytes in ordinary work, `weights` the bytes of mapped
    weights, `reserved` the bytes that its budget must have beside both (full windows, loading);
    `compute` and `transfer` are seconds a request (transfer: sent and received on its own link).
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
    """Stages in execution order over a cluster, for one model.

    `digest` is the digest of the imported graph that the stages were planned on.
    """

    cluster: Cluster
    model: ModelSpec
    digest: str
    stages: tuple[Stage, ...]
    prediction: Prediction | None = None
