"""Rounded activations: the shards together answer like the whole model that rounds the same."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from comparing import compare
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from random_allocations import allocations
from random_models import draw_graph, runs

from edgesplit.graph.encoding import with_encodings

EXAMPLES = int(os.environ.get("EDGESPLIT_EXAMPLES", "1"))
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(RELAXED, max_examples=40 * EXAMPLES)
@given(data=st.data())
def test_random_models_under_random_allocations(data: DataObject) -> None:
    model = draw_graph(data)
    assume(runs(model))
    with TemporaryDirectory() as folder:
        dtype = data.draw(st.sampled_from(["float16", "uint8"]))
        graph = with_encodings(model.imported(Path(folder)), dtype)
        allocation = data.draw(allocations(graph, data.draw(st.integers(2, 6))))
        compare(graph, allocation, Path(folder) / "shards")
