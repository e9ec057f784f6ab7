"""What the certified bound takes for necessary is what some output is made of, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import Draft

from edgesplit.plan.bound.necessary import necessary

ALL = [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("op", "bounds", "attributes", "made"),
    [
        ("Relu", [], {}, ALL),
        ("Slice", [[2], [6], [1]], {}, [2, 3, 4, 5]),
        ("Slice", [[6], [2], [1], [-1]], {}, [3, 4, 5, 6]),
        ("Slice", [[0], [8], [1], [7]], {}, []),
        ("Pad", [[0, -3, 0, -1]], {}, [3, 4, 5, 6]),
        ("Pad", [[0, 3, 0, 1]], {}, ALL),
        ("Gather", [[0, 7]], {"axis": 1}, []),
        ("ReduceMax", [], {"axes": [1]}, ALL),
    ],
)
def test_what_an_operator_leaves_out_is_not_necessary(
    tmp_path: Path, op: str, bounds: list[list[int]], attributes: dict[str, Any], made: list[int]
) -> None:
    model = Draft((1, 4))
    layer = model.add("Gemm", model.weight(4, 8))
    model.add(op, *(model.constant(np.array(ints, np.int64)) for ints in bounds), **attributes)
    rows, columns = necessary(model.imported(tmp_path))[layer]
    assert list(np.flatnonzero(columns)) == made
    assert rows.all() or not made


def test_of_a_split_the_parts_that_nobody_reads_are_not_necessary(tmp_path: Path) -> None:
    model = Draft((1, 4))
    layer = model.add("Gemm", model.weight(4, 8))
    model.add("Split", axis=1, num_outputs=2)
    model.opset = 18
    model.nodes[-1].output[:] = ["low", "high"]
    graph = model.imported(tmp_path, "high")
    assert list(np.flatnonzero(necessary(graph)[layer][1])) == [4, 5, 6, 7]
