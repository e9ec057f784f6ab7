"""Encoded activations: what crosses between devices travels rounded, where the model file says so.

A value is rounded for all who read it, on its own device too, or for nobody: the answer is that of
the whole model with the same values rounded. Only exact data is encoded. Coded rows must add up,
and so must partial sums; the request and the answer belong to the user, and so does what the
gateway makes the answer of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import GATEWAY, Flow, Input, Output, Task, TaskTable
from edgesplit.graph.model import Encoding, Graph
from edgesplit.plan.drafting import Lowered
from edgesplit.plan.shard import ShardSpec

Encodings = Mapping[str, Encoding]
"""Encodings by value name."""


def encoded(graph: Graph, lowered: Lowered) -> Lowered:
    """Return the dataflow with every value encoded that has an encoding and travels."""
    encodings = _travelling(graph, lowered.table)
    return _Encoding(graph, encodings).applied(lowered) if encodings else lowered


def encodings_of(graph: Graph, table: TaskTable) -> Encodings:
    """Return the encodings of the values that a task table rounds.

    `graph` must have the encodings that the table was lowered with.
    """
    found = {name: graph.values[name].encoding for name, _ in rounded_values(table)}
    return {name: encoding for name, encoding in found.items() if encoding}


def rounded_values(table: TaskTable) -> tuple[tuple[str, str], ...]:
    """Return the values that a task table rounds, each with the dtype in which it travels."""
    needs = (need for task in table.tasks for need in task.inputs)
    return tuple(sorted({(need.value, need.dtype) for need in needs if need.name != need.value}))


def _travelling(graph: Graph, table: TaskTable) -> dict[str, Encoding]:
    exact = [flow for flow in table.flows if _is_exact(flow)]
    crossing = {f.value for f in exact if set(f.receivers) - set(f.senders)}
    outside = {f.value for f in table.flows if GATEWAY in (*f.senders, *f.receivers)}
    found = {name: graph.values[name].encoding for name in sorted(crossing - outside)}
    return {name: encoding for name, encoding in found.items() if encoding}


def _is_exact(flow: Flow) -> bool:
    return flow.group < 0 and flow.terms == 1


class _Encoding:
    """Rewrites a dataflow for the values with these encodings."""

    def __init__(self, graph: Graph, encodings: Encodings) -> None:
        self._graph = graph
        self._encodings = encodings

    def applied(self, lowered: Lowered) -> Lowered:
        """Return the dataflow with all flows, tasks and shards that it concerns changed."""
        table = lowered.table
        tasks = tuple(self._task(task, table.flows) for task in table.tasks)
        flows = tuple(map(self._flow, table.flows))
        specs = {spec.task: spec for spec in lowered.shards}
        orders = (
            self._order(old, new, specs.get(old.id))
            for old, new in zip(table.tasks, tasks, strict=True)
        )
        return Lowered(replace(table, flows=flows, tasks=tasks), tuple(filter(None, orders)))

    def _flow(self, flow: Flow) -> Flow:
        if flow.value not in self._encodings or not _is_exact(flow):
            return flow
        return replace(flow, dtype=self._encodings[flow.value].dtype)

    def _task(self, task: Task, flows: tuple[Flow, ...]) -> Task:
        inputs = tuple(self._input(need, flows) for need in task.inputs)
        outputs = tuple(self._output(output, flows) for output in task.outputs)
        return replace(task, inputs=inputs, outputs=outputs)

    def _input(self, need: Input, flows: tuple[Flow, ...]) -> Input:
        encoding = self._encodings.get(need.value)
        first = flows[need.groups[0].rows[0][0]]
        if encoding is None or not _is_exact(first):
            return need
        return replace(need, name=self._graph.wire_name(need.value), dtype=encoding.dtype)

    def _output(self, output: Output, flows: tuple[Flow, ...]) -> Output:
        flow = flows[output.flow]
        if flow.value not in self._encodings or not _is_exact(flow):
            return output
        return replace(output, name=self._graph.wire_name(output.name))

    def _order(self, old: Task, new: Task, spec: ShardSpec | None) -> ShardSpec | None:
        """Return the order for a task's shard; a task that only adds needs one to round the sum."""
        forwarded = _forwarded(old, new, spec)
        if spec is None and not forwarded:
            return None
        spec = spec or ShardSpec(old.id, (), (), ())
        inputs = tuple(dict.fromkeys((*spec.inputs, *forwarded)))
        arriving = {need.value for need in new.inputs if need.name != need.value}
        made = {name for node in spec.nodes for name in self._graph.node(node).outputs}
        # Of these the task makes a coded row or a part of a sum.
        unfinished = {output.name for output in new.outputs}
        rounded = {name for name, _ in inputs} | made - unfinished
        return replace(
            spec,
            inputs=inputs,
            outputs=(*spec.outputs, *forwarded),
            encodings=tuple(item for item in self._encodings.items() if item[0] in rounded),
            encoded=tuple(name for name, _ in inputs if name in arriving),
        )


def _forwarded(old: Task, new: Task, spec: ShardSpec | None) -> tuple[tuple[str, Region], ...]:
    """Return the sums that leave encoded just as they were formed."""
    made = dict(spec.outputs) if spec else {}
    names = zip(old.outputs, new.outputs, strict=True)
    leaving = {before.name for before, after in names if before.name != after.name} - made.keys()
    return tuple(
        (need.value, need.region)
        for need in new.inputs
        if need.value in leaving and need.name == need.value
    )
