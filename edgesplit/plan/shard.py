"""What a shard is made of: the planner's order to the shard builder."""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Encoding
from edgesplit.graph.slicing import Partial


@dataclass(frozen=True, slots=True)
class Code:
    """A parity row: `sum_i coefficients[i] * block_i` of `value`, cut into `blocks` on `axis`.

    Blocks shorter than the longest are padded with zeros. The sum is built into the weights and
    the bias of the operator that makes `value` (coded-robust-dnn-iot, section 5.3).
    """

    value: str
    axis: int
    blocks: tuple[tuple[int, int], ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """The sub-model of one task.

    `nodes` are names of graph nodes in topological order. The sub-model takes the boxes `inputs`
    and makes exactly the boxes `outputs`, both by value name, which is also the name of the ONNX
    input or output. With a `code`, its value's output box is in block coordinates. With a
    `partial`, one node makes a part of its sum.

    Values with one of the `encodings` are rounded wherever the sub-model has them in full, so that
    all who read one read the same; as outputs they leave encoded, and the inputs that `encoded`
    names arrive so. On the sub-model's border these bear their `Graph.wire_name`.
    """

    task: int
    nodes: tuple[str, ...]
    inputs: tuple[tuple[str, Region], ...]
    outputs: tuple[tuple[str, Region], ...]
    code: Code | None = None
    partial: Partial | None = None
    encodings: tuple[tuple[str, Encoding], ...] = ()
    encoded: tuple[str, ...] = ()

    @property
    def wanted(self) -> dict[str, Region]:
        """The outputs in value coordinates; a parity row is made like the longest block."""
        return {name: self._in_value(name, box) for name, box in self.outputs}

    def _in_value(self, name: str, box: Region) -> Region:
        if self.code is None or self.code.value != name:
            return box
        axis = self.code.axis
        start, _ = max(self.code.blocks, key=lambda block: block[1] - block[0])
        return box.with_axis(axis, start + box.lo[axis], start + box.hi[axis])
