"""Rounded activations: the shards together answer like the whole model that rounds the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pytest
from comparing import compare
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from random_allocations import allocations
from random_models import draw_graph, runs
from small_models import Draft

from edgesplit.errors import ShardError
from edgesplit.graph.encoding import with_encodings
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.plan.allocation import Allocation, Share, Stage
from edgesplit.plan.lower import lower
from edgesplit.shards.builder import Built, build
from edgesplit.shards.expected import expected, remembered
from edgesplit.shards.oracle import Oracle, error
from edgesplit.shards.stitched import Stitched
from edgesplit.shards.store import Store
from edgesplit.shards.verify import verify
from edgesplit.spec.cluster import Cluster, Link
from edgesplit.spec.model import ModelSpec, Source

Zoo = Callable[[str], Graph]
Allocate = Callable[..., Allocation]
Dtype = Literal["float16", "uint8"]

EXAMPLES = int(os.environ.get("EDGESPLIT_EXAMPLES", "1"))
RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))
MOST: dict[Dtype, float] = {"float16": 5e-3, "uint8": 0.25}
"""The largest error that rounding may show in the narrow zoo, relative to the largest score."""


@settings(RELAXED, max_examples=40 * EXAMPLES)
@given(data=st.data())
def test_random_models_under_random_allocations(data: DataObject) -> None:
    model = draw_graph(data)
    assume(runs(model))
    with TemporaryDirectory() as folder:
        dtype: Dtype = data.draw(st.sampled_from(["float16", "uint8"]))
        graph = with_encodings(model.imported(Path(folder)), dtype)
        allocation = data.draw(allocations(graph, data.draw(st.integers(2, 6))))
        compare(graph, allocation, Path(folder) / "shards")


@pytest.mark.parametrize("dtype", MOST)
@pytest.mark.parametrize("name", ["lenet5", "alexnet", "vgg16"])
def test_a_lost_device_of_a_coded_group_changes_no_answer(
    zoo: Zoo, alternate: Allocate, tmp_path: Path, name: str, dtype: Dtype
) -> None:
    graph = with_encodings(zoo(name), dtype)
    built = build(graph, lower(graph, alternate(graph)), tmp_path)
    found = verify(graph, built.table, tmp_path)
    assert found.rounded is not None
    assert 0 < found.rounded.error < MOST[dtype]
    assert found.rounded.agreement is not None
    assert any(pattern.recovered for pattern in found.patterns)
    assert all(pattern.passed for pattern in found.patterns)
    # Rounded as the whole model rounds, the shards are as near to it as without any rounding.
    assert found.patterns[0].error <= 1e-5
    assert verify(graph, built.table, tmp_path) == found


def test_answers_without_rounding_differ_by_what_is_shown(
    zoo: Zoo, alternate: Allocate, tmp_path: Path
) -> None:
    graph, store = with_encodings(zoo("alexnet"), "float16"), Store(tmp_path)
    built = build(graph, lower(graph, alternate(graph)), tmp_path)
    oracle = Oracle(graph, built.table, store=store)
    inputs = random_inputs(graph.inputs, 0)
    (answer,) = Stitched(built.table, store).run(inputs)
    assert answer is not None
    assert oracle.rounded is not None
    off = error(answer.outputs, oracle.exact.run(inputs))
    assert 1e-6 < off <= oracle.rounded.error * (1 + 1e-3)


@pytest.mark.parametrize("dtype", MOST)
def test_a_damaged_weight_is_found_and_its_stage_named(
    zoo: Zoo, alternate: Allocate, tmp_path: Path, dtype: Dtype
) -> None:
    graph = with_encodings(zoo("lenet5"), dtype)
    built = build(graph, lower(graph, alternate(graph)), tmp_path)
    damaged = next(task for task in built.table.tasks if task.name == "stage2/1")
    path = tmp_path / built.shards[damaged.id].files[1][0]
    weights = np.frombuffer(path.read_bytes(), np.float32)
    path.write_bytes((weights * -4).tobytes())
    with pytest.raises(ShardError, match=r"differ from the whole model") as caught:
        verify(graph, built.table, tmp_path)
    assert caught.value.where == "stage stage2"


def test_the_trial_request_expects_what_the_deployment_rounds(
    zoo: Zoo, alternate: Allocate, tmp_path: Path
) -> None:
    plain, store = zoo("lenet5"), Store(tmp_path)
    graph = with_encodings(plain, "uint8")
    rounding = lower(graph, alternate(graph)).table
    exact = lower(plain, alternate(plain)).table
    wanted = {"rounded": expected(graph, rounding, store), "exact": expected(plain, exact, store)}
    assert wanted["rounded"].outputs != wanted["exact"].outputs
    assert wanted["exact"].tolerance < 1e-4 < wanted["rounded"].tolerance
    assert remembered(graph.digest, rounding, store) == wanted["rounded"]
    assert remembered(plain.digest, exact, store) == wanted["exact"]


@pytest.mark.parametrize("opset", [8, 11, 17])
@pytest.mark.parametrize("dtype", MOST)
def test_numbers_beyond_the_range_become_the_nearest_in_it(
    tmp_path: Path, dtype: Dtype, opset: int
) -> None:
    model = Draft((1, 8), opset=opset)
    diagonal = np.eye(8, dtype=np.float32)
    model.add("MatMul", model.constant(diagonal * 1e5), name="big")
    model.add("MatMul", model.constant(diagonal * np.float32(1e-5)), name="small")
    graph = with_encodings(model.imported(tmp_path), dtype)
    stages = tuple(
        Stage(layer.name, (layer.name,), "whole", (Share(f"d{index}"),))
        for index, layer in enumerate(graph.layers)
    )
    cluster = Cluster("test", (), Link(1e9, 0.0))
    lowered = lower(graph, Allocation(cluster, ModelSpec(Source()), graph.digest, stages))
    built = build(graph, lowered, tmp_path / "shards")
    x = np.array([[0.0, 0.5, -0.5, 10.0, -10.0, 1.0, -1.0, 0.1]], np.float32)
    (answer,) = Stitched(built.table, Store(tmp_path / "shards")).run({"x": x})
    assert answer is not None
    (found,) = answer.outputs.values()
    assert np.isfinite(found).all()
    lo, hi = _reach(graph, dtype)
    step = {"float16": 2.0**-11, "uint8": (hi - lo) / 255}[dtype]
    assert found == pytest.approx(np.clip(x, lo, hi), abs=step, rel=step)


def test_every_build_makes_the_same_shards(zoo: Zoo, alternate: Allocate, tmp_path: Path) -> None:
    plain = zoo("lenet5")
    graph = with_encodings(plain, "uint8")
    one, other = (build(graph, lower(graph, alternate(graph)), tmp_path / name) for name in "ab")
    assert _digests(one) == _digests(other)
    exact = build(plain, lower(plain, alternate(plain)), tmp_path / "a")
    assert _digests(one) != _digests(exact)


@pytest.fixture
def alternate(allocate: Allocate) -> Allocate:
    """Return what splits and codes every second layer, so that coded and rounded values meet."""

    def over(graph: Graph) -> Allocation:
        coded = allocate(graph, 2, 1)
        stages = tuple(
            stage
            if index % 2 == 0 and stage.parity
            else Stage(stage.name, stage.layers, "whole", (Share(f"d{2 + index % 2}"),))
            for index, stage in enumerate(coded.stages)
        )
        return Allocation(coded.cluster, coded.model, coded.digest, stages)

    return over


def _reach(graph: Graph, dtype: Dtype) -> tuple[float, float]:
    """Return the least and the greatest x that the value between the layers can stand for."""
    if dtype == "float16":
        return -0.65504, 0.65504
    (how,) = (value.encoding for value in graph.values.values() if value.encoding)
    return (0 - how.zero) * how.scale / 1e5, (255 - how.zero) * how.scale / 1e5


def _digests(built: Built) -> set[str]:
    return {shard.digest for shard in built.shards.values()}
