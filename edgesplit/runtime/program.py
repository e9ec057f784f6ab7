"""The program of one device: everything an executor must know besides the task table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesplit.runtime.known import Known  # Needs numpy, which most verbs do without.

SLOTS = 2
"""Places for a running release on a device: a change runs the next epoch beside this one."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where another device listens, `tcp://address:port`, and its public key in Z85."""

    endpoint: str
    public: str


@dataclass(frozen=True, slots=True)
class Program:
    """What one executor runs.

    `table` is the digest of the task table, the blob `<table>.json`; shards are the blobs
    `<digest>.onnx`. `bind` is the endpoint to listen on, `peers` all other devices, `gateways`
    the public keys that may open requests. `pace` holds the seconds that each paced task must
    take with the ends of its messages, by task id; empty at full speed. `predicted` is the
    compute time of each task in seconds. `key` is the device's own public key in Z85, whose private
    half it reads from its folder. `answers` are the known answers of each task, output by output.
    `alike` are the tasks whose shards have their weights in common with another's on this device.
    """

    cluster: str
    device: str
    epoch: int
    table: str
    bind: str
    peers: Mapping[str, Peer]
    gateways: tuple[str, ...]
    threads: int = 1
    pace: Mapping[int, float] = field(default_factory=dict)
    predicted: Mapping[int, float] = field(default_factory=dict)
    key: str = ""
    answers: Mapping[int, Sequence[Known]] = field(default_factory=dict)
    alike: tuple[int, ...] = ()

    @property
    def slot(self) -> int:
        """The place on the device that this epoch runs in; its neighbours take the other one."""
        return self.epoch % SLOTS

    def to_json(self) -> str:
        """Return canonical JSON text."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Program:
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is not a program.
        """
        try:
            data = json.loads(text)
            data["peers"] = {name: Peer(**peer) for name, peer in data["peers"].items()}
            for name in ("gateways", "alike"):
                data[name] = tuple(data[name])
            for by_task in ("pace", "predicted", "answers"):
                data[by_task] = {int(task): value for task, value in data[by_task].items()}
            data["answers"] = {task: tuple(known) for task, known in data["answers"].items()}
            return cls(**data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a program: {error!r}") from error
