"""Lowering: an allocation's stages become the task table and the orders for its shards.

This is the only place that knows both strategies and dataflow. Each stage publishes values: whole,
in blocks, or in coded rows. Each later task takes the boxes it needs of them, light operators that
a coded stage had to leave undone included.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import channel_tail, closure, needs
from edgesplit.plan.allocation import Allocation, Stage
from edgesplit.plan.generators import coefficients
from edgesplit.plan.shard import Code, ShardSpec

SPLIT_AXIS = 1
"""Channels of a convolution, rows of a fully connected layer's output."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """The dataflow of an allocation; `shards` are the orders for every task that has one."""

    table: TaskTable
    shards: tuple[ShardSpec, ...]


def lower(graph: Graph, allocation: Allocation) -> Lowered:
    """Return the task table of an allocation that has been checked against its graph."""
    lowering = _Lowering(graph)
    for stage in allocation.stages:
        lowering.add_stage(stage)
    lowering.add_sink()
    return lowering.finish(allocation.model.window)


@dataclass(slots=True)
class _Draft:
    """A task in the making; its outputs appear as consumers ask for boxes."""

    name: str
    stage: str
    device: str
    inputs: tuple[Input, ...] = ()
    outputs: list[Output] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Published:
    """A value that consumers may fetch: data rows, each a box made by one task, then parity rows.

    `made` are the boxes that the drafts really make, in the coordinates of their arrays: value
    coordinates of a data row, block coordinates of a parity row.
    """

    value: str
    rows: tuple[Region, ...]
    makers: tuple[int, ...]
    parity: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class _Identity:
    value: str
    region: Region
    group: int = -1
    row: int = 0


@dataclass(slots=True)
class _FlowDraft:
    id: int
    maker: int
    receivers: dict[str, None] = field(default_factory=dict)


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._drafts = [_Draft("request", "request", GATEWAY)]
        self._specs: list[ShardSpec] = []
        self._flows: dict[_Identity, _FlowDraft] = {}
        self._groups: dict[tuple[str, Region], int] = {}
        self._published = {
            port.name: _Published(port.name, (Region.full(port.shape),), (0,))
            for port in graph.inputs
        }

    def add_stage(self, stage: Stage) -> None:
        if stage.split == "whole":
            self._add_whole(stage)
        else:
            self._add_output_split(stage)

    def _add_whole(self, stage: Stage) -> None:
        inside = {node.name for layer in stage.layers for node in self._graph.layer(layer).nodes}
        wanted = {name: self._graph.values[name].region for name in self._leaving(inside)}
        task = self._add_task(stage.name, stage.name, stage.shares[0].device, wanted)
        for name, region in wanted.items():
            self._published[name] = _Published(name, (region,), (task,))

    def _leaving(self, inside: set[str]) -> list[str]:
        """Values made inside that somebody outside reads, the caller of the model included."""
        ports = {port.name for port in self._graph.outputs}
        return [
            name
            for node in self._graph.nodes
            if node.name in inside
            for name in node.outputs
            if name in ports
            or any(reader.name not in inside for reader in self._graph.consumers.get(name, ()))
        ]

    def _add_output_split(self, stage: Stage) -> None:
        layer = self._graph.layer(stage.layers[0])
        assert layer.heavy is not None  # noqa: S101 - the planner splits heavy operators only
        end = layer.heavy.outputs[0] if stage.parity else channel_tail(self._graph, layer)
        whole = self._graph.values[end].region
        blocks = tuple((share.lo, share.hi) for share in stage.shares)
        boxes = tuple(whole.with_axis(SPLIT_AXIS, *block) for block in blocks)
        makers = [
            self._add_task(f"{stage.name}/{index}", stage.name, share.device, {end: box})
            for index, (share, box) in enumerate(zip(stage.shares, boxes, strict=True))
        ]
        longest = whole.with_axis(SPLIT_AXIS, 0, max(hi - lo for lo, hi in blocks))
        matrix = coefficients(len(blocks), len(stage.parity)) if stage.parity else ()
        for index, (device, row) in enumerate(zip(stage.parity, matrix, strict=True)):
            code = Code(end, SPLIT_AXIS, blocks, row)
            name = f"{stage.name}/p{index}"
            makers.append(self._add_task(name, stage.name, device, {end: longest}, code))
        rows = boxes + (longest,) * len(stage.parity)
        self._published[end] = _Published(end, rows, tuple(makers), matrix)

    def add_sink(self) -> None:
        wanted = {port.name: Region.full(port.shape) for port in self._graph.outputs}
        self._add_task("answer", "answer", GATEWAY, wanted)

    def _add_task(
        self,
        name: str,
        stage: str,
        device: str,
        wanted: dict[str, Region],
        code: Code | None = None,
    ) -> int:
        """Draft a task that makes the wanted boxes from what is published; return its id."""
        task = len(self._drafts)
        nodes = closure(self._graph, wanted, self._published)
        boxes = needs(self._graph, nodes, wanted) if nodes else dict(wanted)
        fetched = [value for value in boxes if value in self._published]
        draft = _Draft(name, stage, device)
        draft.inputs = tuple(self._input(value, boxes[value], device) for value in fetched)
        self._drafts.append(draft)
        if nodes:
            self._order_shard(task, nodes, draft.inputs, wanted, code)
        return task

    def _order_shard(
        self,
        task: int,
        nodes: Iterable[Node],
        inputs: tuple[Input, ...],
        wanted: dict[str, Region],
        code: Code | None,
    ) -> None:
        made = {name for node in nodes for name in node.outputs}
        read = {name for node in nodes for name in node.reads}
        spec = ShardSpec(
            task=task,
            nodes=tuple(node.name for node in nodes),
            inputs=tuple((need.value, need.region) for need in inputs if need.value in read),
            outputs=tuple((name, box) for name, box in wanted.items() if name in made),
            code=code,
        )
        self._specs.append(spec)

    def _input(self, value: str, box: Region, device: str) -> Input:
        published = self._published[value]
        if published.parity:
            # A lost block is rebuilt from the same positions of all others: take the whole axis.
            extent = self._graph.values[value].shape[SPLIT_AXIS]
            box = box.with_axis(SPLIT_AXIS, 0, extent)
            groups = [self._coded_group(published, box, device)]
        else:
            groups = list(self._exact_groups(published, box, device))
        return Input(value, value, box, self._graph.values[value].dtype, tuple(groups))

    def _exact_groups(self, published: _Published, box: Region, device: str) -> Iterable[Group]:
        for row, maker in zip(published.rows, published.makers, strict=True):
            part = row.intersect(box)
            if part is not None:
                identity = _Identity(published.value, part)
                flow = self._flow(identity, maker, part.within(row), device)
                placement = Placement(Region.full(part.shape), part.within(box))
                yield Group(((flow,),), (placement,))

    def _coded_group(self, published: _Published, box: Region, device: str) -> Group:
        group = self._groups.setdefault((published.value, box), len(self._groups))
        data = len(published.rows) - len(published.parity)
        flows, blocks = [], []
        for index, (row, maker) in enumerate(zip(published.rows, published.makers, strict=True)):
            part = box.with_axis(SPLIT_AXIS, row.lo[SPLIT_AXIS], row.hi[SPLIT_AXIS])
            block = part.with_axis(SPLIT_AXIS, 0, part.shape[SPLIT_AXIS])
            identity = _Identity(published.value, block, group, index)
            flows.append(self._flow(identity, maker, part.within(row), device))
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
        flows = tuple(
            Flow(
                id=draft.id,
                value=identity.value,
                region=identity.region,
                dtype=self._graph.values[identity.value].dtype,
                senders=(self._drafts[draft.maker].device,),
                receivers=tuple(draft.receivers),
                group=identity.group,
                row=identity.row,
            )
            for identity, draft in self._flows.items()
        )
        tasks = tuple(
            Task(index, draft.name, draft.stage, draft.device, draft.inputs, tuple(draft.outputs))
            for index, draft in enumerate(self._drafts)
        )
        table = TaskTable(flows, tasks, self._graph.inputs, self._graph.outputs, window)
        return Lowered(table, tuple(self._specs))
