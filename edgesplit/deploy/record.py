"""The deployment record: what `deploy` leaves beside the allocation and `connect` reads."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgesplit.dataflow.table import TaskTable
from edgesplit.errors import DeployError
from edgesplit.files import replacing
from edgesplit.runtime.program import Peer

_FORMAT = 1


@dataclass(frozen=True)
class Record:
    """A deployed allocation.

    `epoch` counts the deployments of this cluster id. `allocation` is the SHA-256 of the
    allocation file that was deployed, `programs` the digest of each device's release (its
    manifest covers the program, the code that runs it and the blobs). `head` is
    the ONNX model that the gateway runs behind a coded last layer, None where there is none.
    `deadline` is in seconds.
    """

    cluster: str
    epoch: int
    allocation: str
    table: TaskTable
    peers: Mapping[str, Peer]
    programs: Mapping[str, str]
    deadline: float
    head: bytes | None = None


def record_path(allocation: Path) -> Path:
    """Return where the record of this allocation file lies."""
    return allocation.with_name(f"{allocation.stem}.deployed.json")


def changed_since(allocation: Path, record: Record) -> bool:
    """Tell whether an allocation file is another than the one that was deployed."""
    return hashlib.sha256(allocation.read_bytes()).hexdigest() != record.allocation


def save_record(record: Record, path: Path) -> None:
    """Write a record; the previous one stays whole until the new one is."""
    data = {
        "format": _FORMAT,
        "cluster": record.cluster,
        "epoch": record.epoch,
        "allocation": record.allocation,
        "peers": {name: asdict(peer) for name, peer in record.peers.items()},
        "programs": dict(record.programs),
        "deadline": record.deadline,
        "head": base64.b64encode(record.head).decode() if record.head else None,
        "table": json.loads(record.table.to_json()),
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(data, indent=1), encoding="utf-8")


def load_record(path: Path) -> Record:
    """Read a record.

    Raises:
        DeployError: There is none, or it is damaged or of another version.
    """
    try:
        return _record(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DeployError(
            "this allocation is not deployed",
            where=str(path),
            remedy="run `edgesplit deploy` on the allocation file first",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DeployError(
            f"the deployment record is damaged ({error})",
            where=str(path),
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
        head=base64.b64decode(data["head"]) if data["head"] else None,
    )
