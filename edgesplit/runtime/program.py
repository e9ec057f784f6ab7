"""The program of one device: everything an executor must know besides the task table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


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
    compute time of each task in seconds.
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
            data["gateways"] = tuple(data["gateways"])
            for times in ("pace", "predicted"):
                data[times] = {int(task): seconds for task, seconds in data[times].items()}
            return cls(**data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a program: {error!r}") from error
