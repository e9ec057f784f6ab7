"""The deployment record: what `deploy` leaves beside the allocation and on every device.

`connect` reads the one beside the allocation; a gateway whose epoch is over is sent the one of the
epoch that follows by a device.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgesplit.dataflow.table import TaskTable
from edgesplit.errors import DeployError, SpecErrors
from edgesplit.files import replacing
from edgesplit.runtime.program import Peer
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.cluster_file import parse_cluster

_FORMAT = 3


@dataclass(frozen=True)
class Record:
    """A deployed allocation.

    `epoch` counts the deployments of this cluster id. `allocation` is the SHA-256 of the
    allocation file that was deployed and `source` its text; `programs` the digest of each device's
    release (its manifest covers the program, the code that runs it and the blobs). `heads`
    are the ONNX models that the gateway runs behind a coded last layer, by their digests.
    `deadline` is in seconds. `cluster_file` is the plain cluster, so that devices can be reached
    that a later allocation drops; `leaving` is the one of devices that were dropped and have not
    been told. `memory` is the bytes that each device's budget must have, and `mapped` how many of
    them are weights that it reads in place.
    """

    cluster: str
    epoch: int
    allocation: str
    table: TaskTable
    peers: Mapping[str, Peer]
    programs: Mapping[str, str]
    deadline: float
    heads: Mapping[str, bytes] = field(default_factory=dict)
    cluster_file: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    memory: Mapping[str, int] = field(default_factory=dict)
    mapped: Mapping[str, int] = field(default_factory=dict)
    leaving: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, int]:
        """What no other deployment has: the cluster id and the epoch."""
        return self.cluster, self.epoch

    @cached_property
    def devices(self) -> Cluster:
        """The cluster as it was deployed: how to reach each device.

        Raises:
            DeployError: The record doesn't say it.
        """
        return _cluster(self.cluster_file)

    @cached_property
    def left(self) -> Cluster:
        """The devices that are leaving, in a cluster of their own; raises as above."""
        return _cluster(self.leaving) if self.leaving else replace(self.devices, devices=())


def record_path(allocation: Path) -> Path:
    """Return where the record of this allocation file lies."""
    return allocation.with_name(f"{allocation.stem}.deployed.json")


def changed_since(allocation: Path, record: Record) -> bool:
    """Tell whether an allocation file is another than the one that was deployed."""
    return hashlib.sha256(allocation.read_bytes()).hexdigest() != record.allocation


def to_text(record: Record) -> str:
    """Return a record as JSON text, the same for equal records."""
    data = {
        "format": _FORMAT,
        "cluster": record.cluster,
        "epoch": record.epoch,
        "allocation": record.allocation,
        "peers": {name: asdict(peer) for name, peer in record.peers.items()},
        "programs": dict(record.programs),
        "deadline": record.deadline,
        "heads": {name: base64.b64encode(head).decode() for name, head in record.heads.items()},
        "table": json.loads(record.table.to_json()),
        "cluster_file": dict(record.cluster_file),
        "source": record.source,
        "memory": dict(record.memory),
        "mapped": dict(record.mapped),
        "leaving": dict(record.leaving),
    }
    return json.dumps(data, indent=1)


def parse_record(text: str) -> Record:
    """Read what `to_text` wrote.

    Raises:
        DeployError: It is damaged or of another version.
    """
    try:
        return _record(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DeployError(
            f"the deployment record is damaged ({error})", remedy="run `edgesplit deploy` again"
        ) from error


def save_record(record: Record, path: Path) -> None:
    """Write a record; the previous one stays whole until the new one is."""
    with replacing(path) as partial:
        partial.write_text(to_text(record), encoding="utf-8")


def load_record(path: Path) -> Record:
    """Read a record.

    Raises:
        DeployError: There is none, or it is damaged or of another version.
    """
    try:
        return parse_record(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeployError(
            "this allocation is not deployed",
            where=str(path),
            remedy="run `edgesplit deploy` on the allocation file first",
        ) from None
    except UnicodeDecodeError as error:
        raise DeployError(
            f"the deployment record is no text ({error})",
            where=str(path),
            remedy="run `edgesplit deploy` again",
        ) from error
    except DeployError as error:
        raise DeployError(error.what, where=str(path), remedy=error.remedy) from error


def known_record(path: Path) -> Record | None:
    """Return the record at hand; one that is missing or damaged is None."""
    try:
        return load_record(path)
    except DeployError:
        return None


def _cluster(plain: Mapping[str, Any]) -> Cluster:
    try:
        return parse_cluster(plain)
    except SpecErrors as error:
        raise DeployError(
            f"the deployment record doesn't say how to reach its devices ({error})",
            remedy="run `edgesplit deploy` again",
        ) from error


def _record(data: dict[str, Any]) -> Record:
    if data["format"] != _FORMAT:
        raise ValueError(f"format {data['format']} instead of {_FORMAT}")
    return Record(
        cluster=data["cluster"],
        epoch=data["epoch"],
        allocation=data["allocation"],
        table=TaskTable.from_json(json.dumps(data["table"])),
        peers={name: Peer(**peer) for name, peer in data["peers"].items()},
        programs=data["programs"],
        deadline=data["deadline"],
        heads={name: base64.b64decode(head) for name, head in data["heads"].items()},
        cluster_file=data["cluster_file"],
        source=data["source"],
        memory=data["memory"],
        mapped=data["mapped"],
        leaving=data["leaving"],
    )
