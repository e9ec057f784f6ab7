"""A dataflow being drafted: tasks that publish values, and tasks that fetch boxes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import (
    GATEWAY,
    Flow,
    Group,
    Input,
    Output,
    Placement,
    Task,
    TaskTable,
)
from edgesplit.graph.following import CHANNELS
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import Partial, closure, needs, useful
from edgesplit.plan.shard import Code, ShardSpec


@dataclass(frozen=True, slots=True)
class Lowered:
    """The dataflow of an allocation; `shards` are the orders for every task that has one."""

    table: TaskTable
    shards: tuple[ShardSpec, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A box of a value, and the tasks whose arrays add up to it; mostly that is one task."""

    box: Region
    makers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A value that later tasks may fetch: data rows that tile it, then parity rows.

    Boxes are in the coordinates of the makers' arrays: the value's own for data rows, the
    block's for parity rows.
    """

    value: str
    rows: tuple[Row, ...]
    parity: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a task is for: boxes of values, under a code or as a part of a sum."""

    boxes: Mapping[str, Region]
    code: Code | None = None
    partial: Partial | None = None


@dataclass(slots=True)
class _Draft:
    """A task in the making; its outputs appear as consumers ask for boxes."""

    name: str
    stage: str
    device: str
    inputs: tuple[Input, ...] = ()
    outputs: list[Output] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Identity:
    value: str
    region: Region
    group: int = -1
    row: int = 0
    term: int = 0
    terms: int = 1


@dataclass(slots=True)
class _FlowDraft:
    id: int
    maker: int
    receivers: dict[str, None] = field(default_factory=dict)


class Drafting:
    """Tasks, flows and shard orders as they come to be; the first task is the gateway's source."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._drafts = [_Draft("request", "request", GATEWAY)]
        self._specs: list[ShardSpec] = []
        self._flows: dict[_Identity, _FlowDraft] = {}
        self._groups: dict[tuple[str, Region], int] = {}
        self._published: dict[str, Published] = {}
        for port in graph.inputs:
            self.publish(Published(port.name, (Row(Region.full(port.shape), (0,)),)))

    def publish(self, made: Published) -> None:
        """Let later tasks fetch a value; what was published of it before is replaced."""
        self._published[made.value] = made

    def add_task(self, name: str, stage: str, device: str, wish: Wish) -> int:
        """Draft a task that makes boxes out of what is published; return its id."""
        task = len(self._drafts)
        nodes = closure(self._graph, wish.boxes, self._published)
        boxes = needs(self._graph, nodes, wish.boxes, wish.partial) if nodes else dict(wish.boxes)
        nodes = useful(nodes, boxes)
        fetched = [value for value in boxes if value in self._published]
        draft = _Draft(name, stage, device)
        draft.inputs = tuple(self._input(value, boxes[value], device) for value in fetched)
        self._drafts.append(draft)
        if nodes:
            self._specs.append(_order(task, nodes, draft.inputs, wish))
        return task

    def _input(self, value: str, box: Region, device: str) -> Input:
        published = self._published[value]
        if published.parity:
            # A lost block is rebuilt from the same positions of all others: take the whole axis.
            extent = self._graph.values[value].shape[CHANNELS]
            box = box.with_axis(CHANNELS, 0, extent)
            groups = [self._coded_group(published, box, device)]
        else:
            groups = list(self._exact_groups(published, box, device))
        return Input(value, value, box, self._graph.values[value].dtype, tuple(groups))

    def _exact_groups(self, published: Published, box: Region, device: str) -> Iterable[Group]:
        for row in published.rows:
            part = row.box.intersect(box)
            if part is None:
                continue
            terms = tuple(
                self._flow(
                    _Identity(published.value, part, term=term, terms=len(row.makers)),
                    maker,
                    part.within(row.box),
                    device,
                )
                for term, maker in enumerate(row.makers)
            )
            yield Group((terms,), (Placement(Region.full(part.shape), part.within(box)),))

    def _coded_group(self, published: Published, box: Region, device: str) -> Group:
        group = self._groups.setdefault((published.value, box), len(self._groups))
        data = len(published.rows) - len(published.parity)
        flows, blocks = [], []
        for index, row in enumerate(published.rows):
            part = box.with_axis(CHANNELS, row.box.lo[CHANNELS], row.box.hi[CHANNELS])
            block = part.with_axis(CHANNELS, 0, part.shape[CHANNELS])
            identity = _Identity(published.value, block, group, index)
            flows.append(self._flow(identity, row.makers[0], part.within(row.box), device))
            if index < data:
                blocks.append(Placement(Region.full(block.shape), part.within(box)))
        return Group(tuple((flow,) for flow in flows), tuple(blocks), published.parity)

    def _flow(self, identity: _Identity, maker: int, source: Region, device: str) -> int:
        """Return the flow of this box, telling its maker to send it if nobody asked before."""
        draft = self._flows.get(identity)
        if draft is None:
            draft = self._flows[identity] = _FlowDraft(len(self._flows), maker)
            self._drafts[maker].outputs.append(Output(identity.value, draft.id, source))
        draft.receivers[device] = None
        return draft.id

    def finish(self, window: int) -> Lowered:
        """Return the task table; the last task that was added is the gateway's sink."""
        flows = tuple(self._finished(*item) for item in self._flows.items())
        tasks = tuple(
            Task(index, draft.name, draft.stage, draft.device, draft.inputs, tuple(draft.outputs))
            for index, draft in enumerate(self._drafts)
        )
        table = TaskTable(flows, tasks, self._graph.inputs, self._graph.outputs, window)
        return Lowered(table, tuple(self._specs))

    def _finished(self, identity: _Identity, draft: _FlowDraft) -> Flow:
        return Flow(
            id=draft.id,
            value=identity.value,
            region=identity.region,
            dtype=self._graph.values[identity.value].dtype,
            senders=(self._drafts[draft.maker].device,),
            receivers=tuple(draft.receivers),
            group=identity.group,
            row=identity.row,
            term=identity.term,
            terms=identity.terms,
        )


def _order(task: int, nodes: tuple[Node, ...], inputs: tuple[Input, ...], wish: Wish) -> ShardSpec:
    made = {name for node in nodes for name in node.outputs}
    read = {name for node in nodes for name in node.reads}
    return ShardSpec(
        task=task,
        nodes=tuple(node.name for node in nodes),
        inputs=tuple((need.value, need.region) for need in inputs if need.value in read),
        outputs=tuple((name, box) for name, box in wish.boxes.items() if name in made),
        code=wish.code,
        partial=wish.partial,
    )
