"""The head: what the gateway itself computes behind a coded last layer."""

from __future__ import annotations

import onnxruntime

from edgesplit.dataflow.table import TaskTable
from edgesplit.deploy.record import Record
from edgesplit.operate.requests import Array, Arrays


class Head:
    """Turns what the sink assembled into the answer.

    Outputs that need no computing leave as they were assembled. One thread is enough for a few
    light operators and takes nothing from a device on the same machine.
    """

    def __init__(self, table: TaskTable, model: bytes | None) -> None:
        self._outputs = tuple(port.name for port in table.outputs)
        self._session = _session(model) if model is not None else None
        self._inputs = (
            tuple(feed.name for feed in self._session.get_inputs()) if self._session else ()
        )
        self._made = (
            tuple(made.name for made in self._session.get_outputs()) if self._session else ()
        )

    @classmethod
    def of(cls, record: Record) -> Head:
        """Return the head of a deployment."""
        return cls(record.table, record.head)

    def answer(self, feeds: Arrays) -> dict[str, Array]:
        """Return the model's outputs by name."""
        made: dict[str, Array] = dict(feeds)
        if self._session is not None:
            taken = {name: feeds[name] for name in self._inputs}
            made |= zip(self._made, self._session.run(self._made, taken), strict=True)
        return {name: made[name] for name in self._outputs}


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
