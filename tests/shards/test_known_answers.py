"""Known answers of real shards, computed once and reproduced by what an executor runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgesplit.dataflow.table import GATEWAY
from edgesplit.errors import RuntimeFault
from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.lower import lower
from edgesplit.runtime.session import open_session, warm
from edgesplit.shards.builder import build
from edgesplit.shards.known import known_answers

Zoo = Callable[[str], Graph]
Allocate = Callable[..., Allocation]


@pytest.mark.parametrize("name", ["lenet5", "alexnet"])
def test_every_shard_reproduces_its_own_answer_and_no_other(
    zoo: Zoo, allocate: Allocate, tmp_path: Path, name: str
) -> None:
    graph = zoo(name)
    built = build(graph, lower(graph, allocate(graph, 3, 1)), tmp_path)
    answers = known_answers(built, tmp_path)
    flows = {flow.id: flow for flow in built.table.flows}
    tasks = [task for task in built.table.tasks if task.shard and task.device != GATEWAY]
    assert list(answers) == [task.id for task in tasks]
    for task in tasks:
        session = open_session(tmp_path / f"{task.shard}.onnx", 1, shared=False)
        warm(session, task, flows, answers[task.id])
        (known, *rest) = answers[task.id]
        wrong = replace_scale(known["samples"], known["scale"])
        with pytest.raises(RuntimeFault, match="known answer") as fault:
            warm(session, task, flows, ({**known, "samples": wrong}, *rest))
        assert fault.value.where == task.name


def replace_scale(samples: object, scale: float) -> list[float]:
    assert isinstance(samples, list)
    return [samples[0] + scale / 100, *samples[1:]]


def test_answers_are_computed_once(zoo: Zoo, allocate: Allocate, tmp_path: Path) -> None:
    graph = zoo("lenet5")
    built = build(graph, lower(graph, allocate(graph, 2, 1)), tmp_path)
    answers = known_answers(built, tmp_path)
    for path in tmp_path.glob("*.onnx"):
        path.unlink()
    assert known_answers(replace(built, new=0), tmp_path) == answers
