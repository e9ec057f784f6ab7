"""What a task asks of its device, from the boxes that its shard really computes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import reduce

from edgesplit.cost.kernel import Kernel, kernel
from edgesplit.cost.profiles import Profile
from edgesplit.cost.work import ROW_WEIGHTS, Work
from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import Task, TaskTable
from edgesplit.graph import ops
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import constant_bytes, macs, needs
from edgesplit.plan.shard import ShardSpec

Boxes = Mapping[str, Region]


def seconds(works: Sequence[Work], profile: Profile) -> float:
    """Return the compute time of a task on a board, in seconds."""
    computed = sum(profile.compute(work.macs, work.mapped + work.copied) for work in works)
    return profile.session(computed, kernels_of(works)) + profile.step_seconds


def kernels_of(works: Sequence[Work]) -> tuple[Kernel, ...]:
    """Return the kernels of operators that one session runs."""
    return tuple(kernel for work in works for kernel in work.kernels)


def task_works(graph: Graph, spec: ShardSpec, priced: Container[str]) -> tuple[Work, ...]:
    """Return the work of each operator of a shard, overlaps and recomputed halos included.

    `priced` are the nodes that have a price.
    """
    nodes, outputs = [graph.node(name) for name in spec.nodes], spec.wanted
    boxes = needs(graph, nodes, outputs, spec.partial)
    alive = _alive(nodes, outputs)
    return tuple(
        _work(graph, node, boxes, spec, names, priced=node.name in priced)
        for node, names in zip(nodes, alive, strict=True)
    )


def together(works: Sequence[Work]) -> Work:
    """Return the work of operators that one session runs, one after the other."""
    return reduce(
        lambda one, other: Work(
            one.macs + other.macs,
            one.mapped + other.mapped,
            one.copied + other.copied,
            max(one.live, other.live),
            max(one.largest, other.largest),
        ),
        works,
        Work(0, 0, 0, 0),
    )


def request_bytes(table: TaskTable, task: Task) -> int:
    """Return the bytes of the inputs and outputs of a task for one request."""
    inputs = sum(table.flows[f].nbytes for f in _flows(task))
    return inputs + sum(table.flows[output.flow].nbytes for output in task.outputs)


def _flows(task: Task) -> set[int]:
    groups = (group for need in task.inputs for group in need.groups)
    return {flow for group in groups for row in group.rows for flow in row}


def _alive(nodes: Sequence[Node], outputs: Container[str]) -> Iterator[set[str]]:
    """Yield, for each node, the values that exist while it runs."""
    last = {name: index for index, node in enumerate(nodes) for name in node.reads}
    made: set[str] = set()
    for index, node in enumerate(nodes):
        made.update(filter(None, node.outputs))
        kept = {name for name in made if name in outputs or last.get(name, -1) > index}
        yield kept | {*node.reads, *filter(None, node.outputs)}


def _work(
    graph: Graph,
    node: Node,
    boxes: Boxes,
    spec: ShardSpec,
    alive: Iterable[str],
    *,
    priced: bool,
) -> Work:
    weights = constant_bytes(graph, {name: boxes[name] for name in node.reads if name in boxes})
    count = _macs(graph, node, boxes, spec)
    in_rows = node.op in ROW_WEIGHTS
    return Work(
        macs=count,
        mapped=weights if in_rows else 0,
        copied=0 if in_rows else weights,
        live=sum(_activation(graph, name, boxes) for name in alive),
        largest=0 if in_rows else weights,
        kernels=(kernel(graph, node, boxes, count, weights),) if priced else (),
    )


def _macs(graph: Graph, node: Node, boxes: Boxes, spec: ShardSpec) -> float:
    count = float(macs(graph, node, boxes[node.outputs[0]])) if node.outputs[0] in boxes else 0.0
    part = spec.partial
    if part is None or part.node != node.name:
        return count
    reads = ops.reduces(graph, node)
    return count * (part.hi - part.lo) / reads.extent if reads else count


def _activation(graph: Graph, name: str, boxes: Boxes) -> int:
    """Return the bytes of what is needed of an activation; 0 of a weight."""
    value = graph.values[name]
    if value.constant or name not in boxes:
        return 0
    return boxes[name].size * value.itemsize
