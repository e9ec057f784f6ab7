"""How an answer reads: the best classes, or the outputs' shapes and first values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from edgesplit.operate.requests import Answer
from edgesplit.report.console import people, plain
from edgesplit.spec.units import format_seconds
from edgesplit.zoo.inputs import top_k


def is_classification(answer: Answer) -> bool:
    """Tell whether an answer is one vector of scores: one output of a batch of one."""
    shapes = [array.shape for array in answer.outputs.values()]
    return len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][0] == 1


def answer_result(answer: Answer, k: int, labels: Sequence[str]) -> dict[str, Any]:
    """Return an answer as machines read it; outputs in full."""
    result: dict[str, Any] = {
        "latency": answer.latency,
        "recovered": answer.recovered,
        "attempts": answer.attempts,
        "outputs": {name: array.tolist() for name, array in answer.outputs.items()},
    }
    if is_classification(answer):
        result["top"] = plain(top_k(answer.output, k, labels))
    return result


def show_answer(answer: Answer, k: int, labels: Sequence[str]) -> None:
    """Print an answer."""
    console = people()
    console.print(_classes(answer, k, labels) if is_classification(answer) else _arrays(answer))
    console.print(f"answered in {format_seconds(answer.latency)}{_decoded(answer.recovered)}")


def _decoded(groups: int) -> str:
    """Tell of decoding; no device need have failed for it: parity may have been the faster."""
    if not groups:
        return ""
    return f", {groups} split layer{'s' if groups > 1 else ''} completed by parity"


def _classes(answer: Answer, k: int, labels: Sequence[str]) -> Table:
    table = Table()
    table.add_column("class")
    table.add_column("score", justify="right")
    for label, score in top_k(answer.output, k, labels):
        table.add_row(escape(str(label)), f"{score:.4f}")
    return table


def _arrays(answer: Answer) -> Table:
    table = Table()
    for heading in ("output", "shape", "dtype", "first values"):
        table.add_column(heading)
    for name, array in answer.outputs.items():
        values = np.array2string(array.ravel()[:5], precision=4)
        table.add_row(escape(name), str(array.shape), str(array.dtype), values)
    return table
