"""Variants: tables side by side in one, and each for itself again."""

from __future__ import annotations

import pytest
from hand_made import allocate, perceptron, split, whole
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.dataflow.table import GATEWAY, TaskTable
from edgesplit.dataflow.variants import anonymous, apart, together
from edgesplit.plan.lower import lower

GRAPH = perceptron(8, 4)
CODED = (split("fc1", ("pi1", 0, 4), ("pi2", 4, 8), parity=("pi3",)), whole("pi1", "fc2"))
PIPELINE = (whole("pi4", "fc1"), whole("pi2", "fc2"))
MOVED = (whole("pi1", "fc1"), whole("pi3", "fc2"))
ALONE = (whole("pi5", "fc1", "fc2"),)

TABLES = [lower(GRAPH, allocate(GRAPH, *s)).table for s in (CODED, PIPELINE, MOVED, ALONE)]
several = st.lists(st.sampled_from(TABLES), min_size=1, max_size=5)


@given(several)
def test_what_is_put_together_comes_apart_again(tables: list[TaskTable]) -> None:
    made = together(tables)
    assert apart(made) == tuple(tables)
    assert TaskTable.from_json(made.to_json()) == made


@given(several)
def test_variants_share_no_flow_and_no_task(tables: list[TaskTable]) -> None:
    made = together(tables)
    assert made.variants == len(tables)
    assert [flow.id for flow in made.flows] == list(range(len(made.flows)))
    assert [task.id for task in made.tasks] == list(range(len(made.tasks)))
    for task in made.tasks:
        used = {f for need in task.inputs for g in need.groups for row in g.rows for f in row}
        used |= {output.flow for output in task.outputs}
        assert {made.flows[flow].variant for flow in used} <= {task.variant}
    for ends in (made.sources, made.sinks):
        assert [(end.variant, end.device) for end in ends] == [
            (number, GATEWAY) for number in range(len(tables))
        ]
    assert not any(source.inputs for source in made.sources)
    assert not any(sink.outputs for sink in made.sinks)


def test_the_one_source_of_several_variants_is_a_mistake() -> None:
    made = together(TABLES[:2])
    with pytest.raises(ValueError, match="too many"):
        _ = made.source
    with pytest.raises(ValueError, match="too many"):
        _ = made.sink


def test_variants_that_differ_in_devices_only_are_alike() -> None:
    coded, pipeline, moved, alone = map(anonymous, TABLES)
    assert pipeline == moved
    assert len({coded, pipeline, alone}) == 3
