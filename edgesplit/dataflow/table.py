"""The task table: an allocation as the dataflow that executors and gateways interpret.

It knows nothing of strategies: which splits, parity or replicas made it is the planner's affair.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from edgesplit.dataflow.region import Region

GATEWAY = "gateway"
"""The device name of the source and sink of every request."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the model: name, shape and numpy dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Flow:
    """A contribution as the plan knows it: its identity without the request and the attempt.

    `region` is a box of `value`; of a coded row (`group >= 0`), a box in block coordinates: the
    block's own, beginning at 0 on the coded axis. `row` is `j` of the group, data rows first.
    `term` of `terms` is its place in a sum of partial results. Any of `senders` may send it, for
    requests of its `variant`.
    """

    id: int
    value: str
    region: Region
    dtype: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    group: int = -1
    row: int = 0
    term: int = 0
    terms: int = 1
    variant: int = 0

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of its array."""
        return self.region.shape

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the body on the wire."""
        return self.region.size * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a data row lands: `source` within the row's array, `target` within the input's."""

    source: Region
    target: Region


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of which any `k` form the data: `k` data rows, then `r` parity rows.

    Each row is the sum, in index order, of its terms' flows. Exact data is the group of one row
    of one term. Rows may differ in extent; coding pads them with zeros to the largest.
    `parity` is `P`, r x k: parity row `j` is `sum_i parity[j][i] * row_i`.
    """

    rows: tuple[tuple[int, ...], ...]
    blocks: tuple[Placement, ...]
    parity: tuple[tuple[float, ...], ...] = ()

    @property
    def k(self) -> int:
        """Number of data rows, and of rows that are enough."""
        return len(self.blocks)


@dataclass(frozen=True, slots=True)
class Input:
    """A feed of a task: the box `region` of `value`, formed from groups that cover it."""

    name: str
    value: str
    region: Region
    dtype: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Output:
    """A contribution that a task makes: the box `source` of its array `name` leaves as `flow`."""

    name: str
    flow: int
    source: Region

    @cached_property
    def cut(self) -> tuple[slice, ...]:
        """The box as an index into the array."""
        return self.source.slices


@dataclass(frozen=True, slots=True)
class Task:
    """One shard on one device: what it needs, what it contributes.

    `shard` is the digest of the ONNX sub-model; None forwards the inputs under their own names
    (the gateway's source and sink, a merge task). It runs for requests of its `variant` only.
    """

    id: int
    name: str
    stage: str
    device: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    shard: str | None = None
    variant: int = 0


@dataclass(frozen=True)
class TaskTable:
    """The whole dataflow of an allocation.

    `flows[i].id == i` and `tasks[i].id == i`. Variants are complete ways through the model, of
    which a request takes one; each has flows of its own, and tasks of its own that follow each
    other. The first of them is the gateway's source (no inputs, its arrays are the request's), the
    last the gateway's sink (no outputs; its arrays are the answer). `window` is the number of
    requests that one gateway may have open, `gateways` the number of gateways that memory is
    reserved for.
    """

    flows: tuple[Flow, ...]
    tasks: tuple[Task, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    window: int = 8
    gateways: int = 2

    @property
    def source(self) -> Task:
        """The gateway's task that feeds requests; ValueError where there are several variants."""
        (source,) = self.sources
        return source

    @property
    def sink(self) -> Task:
        """The gateway's task that assembles answers; ValueError where there are several."""
        (sink,) = self.sinks
        return sink

    @property
    def variants(self) -> int:
        """The number of variants."""
        return self.tasks[-1].variant + 1

    @property
    def reach(self) -> int:
        """Numbers from a gateway's lowest open request on that devices take.

        Requests of a fast variant overtake those of a slow one, hence a window more for each.
        """
        return (1 + self.variants) * self.window

    @cached_property
    def sources(self) -> tuple[Task, ...]:
        """The gateway's task that feeds requests, of each variant."""
        return tuple({task.variant: task for task in reversed(self.tasks)}.values())[::-1]

    @cached_property
    def sinks(self) -> tuple[Task, ...]:
        """The gateway's task that assembles answers, of each variant."""
        return tuple({task.variant: task for task in self.tasks}.values())

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices that run a task, in task order, without the gateway."""
        return tuple(dict.fromkeys(t.device for t in self.tasks if t.device != GATEWAY))

    def tasks_of(self, device: str) -> tuple[Task, ...]:
        """Return the tasks of one device."""
        return tuple(task for task in self.tasks if task.device == device)

    def received(self, task: Task) -> tuple[Flow, ...]:
        """Return the flows that a task takes and that come from other devices, each once."""
        groups = chain.from_iterable(need.groups for need in task.inputs)
        numbers = dict.fromkeys(flow for group in groups for row in group.rows for flow in row)
        flows = (self.flows[number] for number in numbers)
        return tuple(flow for flow in flows if task.device not in flow.senders)

    def with_shards(self, digests: dict[int, str]) -> TaskTable:
        """Return the table with the digest of each built shard, by task id."""
        tasks = tuple(replace(t, shard=digests.get(t.id, t.shard)) for t in self.tasks)
        return replace(self, tasks=tasks)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the table's JSON text, in hex."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the table as canonical JSON text."""
        return self._text

    @cached_property
    def _text(self) -> str:
        return json.dumps(_plain(self), separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TaskTable:
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is not a task table.
        """
        try:
            return _table(json.loads(text))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a task table: {error!r}") from error


def _plain(thing: object) -> object:
    if isinstance(thing, Region):
        return str(thing)
    if isinstance(thing, tuple):
        return [_plain(part) for part in thing]
    if hasattr(thing, "__dataclass_fields__"):
        return {name: _plain(getattr(thing, name)) for name in thing.__dataclass_fields__}
    return thing


def _flow(data: dict[str, Any]) -> Flow:
    return Flow(
        **data
        | {
            "region": Region.parse(data["region"]),
            "senders": tuple(data["senders"]),
            "receivers": tuple(data["receivers"]),
        }
    )


def _group(data: dict[str, Any]) -> Group:
    return Group(
        rows=tuple(tuple(row) for row in data["rows"]),
        blocks=tuple(
            Placement(Region.parse(b["source"]), Region.parse(b["target"])) for b in data["blocks"]
        ),
        parity=tuple(tuple(row) for row in data["parity"]),
    )


def _input(data: dict[str, Any]) -> Input:
    groups = tuple(_group(group) for group in data["groups"])
    return Input(**data | {"region": Region.parse(data["region"]), "groups": groups})


def _task(data: dict[str, Any]) -> Task:
    outputs = tuple(
        Output(out["name"], out["flow"], Region.parse(out["source"])) for out in data["outputs"]
    )
    return Task(**data | {"inputs": tuple(map(_input, data["inputs"])), "outputs": outputs})


def _port(data: dict[str, Any]) -> Port:
    return Port(data["name"], tuple(data["shape"]), data["dtype"])


def _table(data: dict[str, Any]) -> TaskTable:
    return TaskTable(
        flows=tuple(map(_flow, data["flows"])),
        tasks=tuple(map(_task, data["tasks"])),
        inputs=tuple(map(_port, data["inputs"])),
        outputs=tuple(map(_port, data["outputs"])),
        window=data["window"],
        gateways=data["gateways"],
    )
