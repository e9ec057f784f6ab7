"""Lowering: an allocation's stages become the task table and the orders for its shards.

Each variant is lowered for itself; the table holds them side by side.

This is the only place that knows both strategies and dataflow. Each stage publishes values: whole,
in blocks, in tiles, in coded rows or in partial sums. Each later task takes the boxes it needs of
them, operators included that an earlier stage had to leave undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import GATEWAY
from edgesplit.dataflow.variants import together
from edgesplit.graph.following import CHANNELS, in_blocks, leaving
from edgesplit.graph.model import Graph
from edgesplit.graph.slicing import Partial
from edgesplit.plan.allocation import Allocation, Stage
from edgesplit.plan.drafting import Drafting, Lowered, Published, Row, Wish
from edgesplit.plan.encoding import encoded
from edgesplit.plan.generators import coefficients
from edgesplit.plan.publishing import linear_output, publications, rows, stage_nodes
from edgesplit.plan.shard import Code

__all__ = ["Lowered", "lower"]


def lower(graph: Graph, allocation: Allocation) -> Lowered:
    """Return the task table of an allocation that has been checked against its graph."""
    window = allocation.model.window
    return _together([_lower(graph, stages, window) for stages in allocation.variants])


def _lower(graph: Graph, stages: tuple[Stage, ...], window: int) -> Lowered:
    lowering = _Lowering(graph)
    for stage in stages:
        lowering.add_stage(stage)
    lowering.add_sink()
    return encoded(graph, lowering.draft.finish(window))


def _together(parts: Sequence[Lowered]) -> Lowered:
    """Return the dataflow of all variants, with the orders for their shards."""
    firsts = accumulate((len(part.table.tasks) for part in parts), initial=0)
    shards = (
        replace(spec, task=spec.task + first)
        for first, part in zip(firsts, parts, strict=False)
        for spec in part.shards
    )
    return Lowered(together([part.table for part in parts]), tuple(shards))


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.draft = Drafting(graph)

    def add_stage(self, stage: Stage) -> None:
        """Add the tasks of a stage, and publish what they make."""
        match stage.split:
            case "whole":
                self._add_whole(stage)
            case "input":
                self._add_partial_sums(stage)
            case _ if stage.parity:
                self._add_coded(stage)
            case _:
                self._add_parts(stage)

    def add_sink(self) -> None:
        """Add the gateway's task that takes the answer."""
        wanted = {port.name: Region.full(port.shape) for port in self._graph.outputs}
        self.draft.add_task("answer", "answer", GATEWAY, Wish(wanted))

    def _add_whole(self, stage: Stage) -> None:
        values = leaving(self._graph, stage_nodes(self._graph, stage.layers))
        wanted = {name: self._graph.values[name].region for name in values}
        task = self.draft.add_task(stage.name, stage.name, stage.shares[0].device, Wish(wanted))
        for name, region in wanted.items():
            self.draft.publish(Published(name, (Row(region, (task,)),)))

    def _add_parts(self, stage: Stage) -> None:
        """Add a task a share, each for its block or tile of every value that leaves the stage."""
        made = publications(self._graph, stage)
        tasks = [
            self._add_share(
                stage, index, Wish({m.value: b for m in made if (b := m.boxes[index]) is not None})
            )
            for index in range(len(stage.shares))
        ]
        for one in made:
            boxes = tuple(Row(box, (tasks[index],)) for index, box in rows(one))
            self.draft.publish(Published(one.value, boxes))

    def _add_coded(self, stage: Stage) -> None:
        (made,) = publications(self._graph, stage)
        boxes = [box for _, box in rows(made)]
        tasks = [
            self._add_share(stage, index, Wish({made.value: box}))
            for index, box in enumerate(boxes)
        ]
        blocks = tuple((share.lo, share.hi) for share in stage.shares)
        longest = boxes[0].with_axis(CHANNELS, 0, max(hi - lo for lo, hi in blocks))
        matrix = coefficients(len(blocks), len(stage.parity))
        for index, (device, row) in enumerate(zip(stage.parity, matrix, strict=True)):
            wish = Wish({made.value: longest}, Code(made.value, CHANNELS, blocks, row))
            tasks.append(self.draft.add_task(f"{stage.name}/p{index}", stage.name, device, wish))
        boxes += [longest] * len(stage.parity)
        made_rows = tuple(Row(box, (task,)) for box, task in zip(boxes, tasks, strict=True))
        self.draft.publish(Published(made.value, made_rows, matrix))

    def _add_partial_sums(self, stage: Stage) -> None:
        """Add a task a share, each for its part of the last layer's sum, and who adds them."""
        heavy = self._graph.layer(stage.layers[-1]).heavy
        assert heavy is not None  # noqa: S101 - it is checked that there is a sum to cut
        value = linear_output(self._graph, stage.layers[-1])
        whole = self._graph.values[value].region
        tasks = tuple(
            self._add_share(
                stage,
                index,
                Wish({value: whole}, partial=Partial(heavy.name, share.lo, share.hi, index == 0)),
            )
            for index, share in enumerate(stage.shares)
        )
        self.draft.publish(Published(value, (Row(whole, tasks),)))
        if stage.merge and len(tasks) > 1:  # A sum of one term is whole already.
            self._add_merge(stage, value)

    def _add_merge(self, stage: Stage, value: str) -> None:
        """Add the tasks that add partial sums, a block each, and go on with it while they can."""
        nodes = stage_nodes(self._graph, stage.layers)
        carried = in_blocks(self._graph, nodes, [self._graph.producer[value]])
        values = leaving(self._graph, carried)
        made: dict[str, list[Row]] = {name: [] for name in values}
        for index, share in enumerate(stage.merge):
            boxes = {
                name: self._graph.values[name].region.with_axis(CHANNELS, share.lo, share.hi)
                for name in values
            }
            name = f"{stage.name}/m{index}"
            task = self.draft.add_task(name, stage.name, share.device, Wish(boxes))
            for value_name, box in boxes.items():
                made[value_name].append(Row(box, (task,)))
        for name, published in made.items():
            self.draft.publish(Published(name, tuple(published)))

    def _add_share(self, stage: Stage, index: int, wish: Wish) -> int:
        device = stage.shares[index].device
        return self.draft.add_task(f"{stage.name}/{index}", stage.name, device, wish)
