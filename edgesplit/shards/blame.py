"""Blame: the first stage whose values differ from those inside the whole model."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from edgesplit.dataflow.table import Input, Task, TaskTable
from edgesplit.graph.model import Graph
from edgesplit.plan.encoding import encodings_of
from edgesplit.shards.oracle import error
from edgesplit.shards.rounded import rounded_file
from edgesplit.shards.stitched import Stitched

Array = NDArray[Any]
Arrays = Mapping[str, Array]


# A number that was rounded the other way is a step off, relative to the largest of its value.
_STEPS = {"float16": 2.0**-10, "uint8": 2.0**-7}


def culprit(
    graph: Graph, table: TaskTable, stitched: Stitched, inputs: Arrays, tolerance: float
) -> str:
    """Return the stage that made the first wrong value, by the dataflow's order.

    Every value that crosses between tasks is compared with the same value of the whole model; of
    a value made by several stages, the maker of the worst element is blamed.

    Args:
        graph: The imported model.
        table: The dataflow that went wrong.
        stitched: The task table that went wrong without a loss.
        inputs: The request that showed it.
        tolerance: Largest error, relative to the value's `max|y|`, of a right value.
    """
    fed: list[tuple[Task, Arrays]] = []
    stitched.run(inputs, watch=lambda task, feeds: fed.append((task, dict(feeds))))
    crossing = {need.value for task, _ in fed for need in task.inputs}
    encodings = encodings_of(graph, table)
    with rounded_file(graph, encodings) as path:
        right = _inside(path, crossing, inputs)
    for task, feeds in fed:
        for need in task.inputs:
            expected = right[need.value][need.region.slices]
            found, allowed = feeds[need.name], tolerance
            if need.name != need.value:
                found = encodings[need.value].decode(found)
                allowed = max(tolerance, _STEPS[need.dtype])
            if not error({"": found}, {"": expected}) <= allowed:
                return _maker(stitched, need, found, expected)
    return fed[-1][0].stage


def _inside(path: Path, names: Container[str | None], inputs: Arrays) -> dict[str, Array]:
    """Run the whole model with these values as outputs."""
    model = ir.load(path)
    given = {value.name for value in model.graph.inputs} | {v.name for v in model.graph.outputs}
    for node in model.graph:
        model.graph.outputs.extend(
            value for value in node.outputs if value.name in names and value.name not in given
        )
    options = ort.SessionOptions()
    folder = str(path.parent)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    data = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(data, options, ["CPUExecutionProvider"])
    found = [port.name for port in session.get_outputs()]
    return {**inputs, **dict(zip(found, session.run(found, dict(inputs)), strict=True))}


def _maker(stitched: Stitched, need: Input, array: Array, expected: Array) -> str:
    """Return the stage that made the element that is furthest off."""
    distance = np.abs(array.astype(np.float64) - expected.astype(np.float64))
    place = np.unravel_index(int(np.nan_to_num(distance, nan=np.inf).argmax()), array.shape)
    for group in need.groups:
        for block, row in zip(group.blocks, group.rows, strict=False):
            box = block.target
            if all(lo <= at < hi for lo, at, hi in zip(box.lo, place, box.hi, strict=True)):
                return stitched.maker(row[0]).stage
    return need.value
