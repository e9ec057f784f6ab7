"""The task-allocation file: readable, deterministic YAML that holds all a deployment needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from edgesplit.files import replacing
from edgesplit.plan.allocation import (
    Allocation,
    DevicePrediction,
    Prediction,
    Share,
    Split,
    Stage,
)
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.cluster_file import cluster_to_plain, parse_cluster
from edgesplit.spec.located import load_yaml
from edgesplit.spec.model_file import model_to_plain, parse_model
from edgesplit.spec.reader import Path as Place
from edgesplit.spec.suggest import did_you_mean
from edgesplit.spec.validate import Finding, Section, refuse, validate

FORMAT = 1

_HEADER = """\
# A task allocation of edgesplit: which device does what.
# Deploy it with `edgesplit deploy`. Edit stages by hand if you know better; predictions are then
# those of the plan before. Bounds of blocks (channels, rows) and tiles are half open.
"""
_REPLICAS = """\
# Requests take turns between the stages and each of the replicas, so that they multiply the
# throughput. A replica holds all layers once more, over any devices of the cluster; one whose
# devices don't answer is left out, and what was under way there is asked anew of another:
#   replicas:
#   - stages: [{name: conv1..fc8, layers: [conv1, ..., fc8], split: whole, shares: [{device: pi2}]}]
"""


class ShareSection(Section):
    """A device's block or tile of a split stage."""

    device: str
    block: tuple[int, int] = (0, 0)
    tile: tuple[tuple[int, int], ...] = ()


class StageSection(Section):
    """Layers under one split."""

    name: str
    layers: tuple[str, ...] = Field(min_length=1)
    split: Split
    shares: tuple[ShareSection, ...] = Field(min_length=1)
    parity: tuple[str, ...] = ()
    merge: tuple[ShareSection, ...] = ()


class ReplicaSection(Section):
    """A further complete way through the model."""

    stages: tuple[StageSection, ...] = Field(min_length=1)


class DeviceSection(Section):
    """What one device is expected to do for a request: seconds and bytes."""

    device: str
    tasks: tuple[str, ...]
    memory: int
    weights: int
    reserved: int = 0
    compute: float
    transfer: float


class PredictionSection(Section):
    """What the plan expects: seconds, requests a second, losses survived."""

    latency: float
    throughput: float
    survives: tuple[str, ...] = ()
    devices: tuple[DeviceSection, ...] = ()


class AllocationFile(Section):
    """The allocation file."""

    edgesplit: Literal[1]
    graph: str
    stages: tuple[StageSection, ...] = Field(min_length=1)
    replicas: tuple[ReplicaSection, ...] = ()
    prediction: PredictionSection | None = None
    model: dict[str, Any]
    cluster: dict[str, Any]


def write_allocation(allocation: Allocation, path: Path) -> None:
    """Write an allocation file; one that was there stays until the new one is whole."""
    text = yaml.dump(
        _plain(allocation, path.parent.resolve()),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=None,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        header = _HEADER + (_REPLICAS if allocation.replicas else "")
        partial.write_text(header + text, encoding="utf-8")


def load_allocation(path: Path) -> Allocation:
    """Read an allocation file.

    Raises:
        SpecError: The file can't be read as YAML.
        SpecErrors: All that is wrong with what it says, each with its place.
    """
    located = load_yaml(path)
    file = validate(AllocationFile, located)
    cluster = parse_cluster(located.at("cluster"))
    refuse(located, _strangers(file, cluster))
    return Allocation(
        cluster=cluster,
        model=parse_model(located.at("model")),
        digest=file.graph,
        stages=tuple(map(_stage, file.stages)),
        prediction=_prediction(file.prediction) if file.prediction else None,
        replicas=tuple(tuple(map(_stage, replica.stages)) for replica in file.replicas),
    )


def _strangers(file: AllocationFile, cluster: Cluster) -> list[Finding]:
    known = [device.name for device in cluster.devices]
    lists = [(("stages",), file.stages)] + [
        (("replicas", number, "stages"), replica.stages)
        for number, replica in enumerate(file.replicas)
    ]
    return [
        Finding((*place, *where), f"the cluster has no device {name!r}{did_you_mean(name, known)}")
        for place, stages in lists
        for where, name in _named(stages)
        if name not in known
    ]


def _named(stages: Sequence[StageSection]) -> Iterator[tuple[Place, str]]:
    """Yield the devices that stages name, each with its place among them."""
    for index, stage in enumerate(stages):
        for kind, shares in (("shares", stage.shares), ("merge", stage.merge)):
            for at, share in enumerate(shares):
                yield (index, kind, at, "device"), share.device
        for at, device in enumerate(stage.parity):
            yield (index, "parity", at), device


def _stage(section: StageSection) -> Stage:
    return Stage(
        name=section.name,
        layers=section.layers,
        split=section.split,
        shares=tuple(map(_share, section.shares)),
        parity=section.parity,
        merge=tuple(map(_share, section.merge)),
    )


def _share(section: ShareSection) -> Share:
    return Share(section.device, *section.block, section.tile)


def _prediction(section: PredictionSection) -> Prediction:
    devices = tuple(DevicePrediction(**device.model_dump()) for device in section.devices)
    return Prediction(section.latency, section.throughput, devices, section.survives)


def _plain(allocation: Allocation, folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "edgesplit": FORMAT,
        "graph": allocation.digest,
        "stages": [_plain_stage(stage) for stage in allocation.stages],
    }
    if allocation.replicas:
        plain["replicas"] = [
            {"stages": [_plain_stage(stage) for stage in stages]} for stages in allocation.replicas
        ]
    if allocation.prediction:
        plain["prediction"] = _plain_prediction(allocation.prediction)
    plain["model"] = model_to_plain(allocation.model, folder)
    plain["cluster"] = cluster_to_plain(allocation.cluster)
    return plain


def _plain_stage(stage: Stage) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": stage.name,
        "layers": list(stage.layers),
        "split": stage.split,
        "shares": [_plain_share(share) for share in stage.shares],
    }
    if stage.parity:
        plain["parity"] = list(stage.parity)
    if stage.merge:
        plain["merge"] = [_plain_share(share) for share in stage.merge]
    return plain


def _plain_share(share: Share) -> dict[str, Any]:
    if share.tile:
        return {"device": share.device, "tile": [list(bounds) for bounds in share.tile]}
    if share.hi:
        return {"device": share.device, "block": [share.lo, share.hi]}
    return {"device": share.device}


def _plain_prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "latency": _short(prediction.latency),
        "throughput": _short(prediction.throughput),
        "survives": list(prediction.survives),
        "devices": [_plain_device(device) for device in prediction.devices],
    }


def _plain_device(device: DevicePrediction) -> dict[str, Any]:
    return {
        "device": device.device,
        "tasks": list(device.tasks),
        "memory": device.memory,
        "weights": device.weights,
        "reserved": device.reserved,
        "compute": _short(device.compute),
        "transfer": _short(device.transfer),
    }


def _short(value: float) -> float:
    """Six digits are more than a prediction knows."""
    return float(f"{value:.6g}")


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: the same text twice reads better than a reference to it."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - as the base class has it
        return True
