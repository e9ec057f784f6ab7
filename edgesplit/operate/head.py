"""The head: what the gateway itself computes behind a coded last layer."""

from __future__ import annotations

from collections.abc import Mapping

import onnxruntime

from edgesplit.dataflow.table import TaskTable
from edgesplit.deploy.record import Record
from edgesplit.operate.requests import Array, Arrays


class Head:
    """Turns what a variant's sink assembled into the answer.

    Outputs that need no computing leave as they were assembled. One thread is enough for a few
    light operators and takes nothing from a device on the same machine.

    Args:
        table: The dataflow, whose sinks name their models.
        models: The models by digest.
    """

    def __init__(self, table: TaskTable, models: Mapping[str, bytes]) -> None:
        self._outputs = tuple(port.name for port in table.outputs)
        sessions = {digest: _Session(model) for digest, model in models.items()}
        self._sessions = [sessions[s.shard] if s.shard else None for s in table.sinks]

    @classmethod
    def of(cls, record: Record) -> Head:
        """Return the head of a deployment."""
        return cls(record.table, record.heads)

    def answer(self, feeds: Arrays, variant: int = 0) -> dict[str, Array]:
        """Return the model's outputs by name."""
        made: dict[str, Array] = dict(feeds)
        session = self._sessions[variant]
        if session is not None:
            made |= session.run(feeds)
        return {name: made[name] for name in self._outputs}


class _Session:
    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        self._inputs = tuple(feed.name for feed in self._session.get_inputs())
        self._made = tuple(made.name for made in self._session.get_outputs())

    def run(self, feeds: Arrays) -> dict[str, Array]:
        taken = {name: feeds[name] for name in self._inputs}
        return dict(zip(self._made, self._session.run(self._made, taken), strict=True))
