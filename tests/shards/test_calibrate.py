from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgesplit.graph.model import Graph
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.lower import lower
from edgesplit.shards.builder import build
from edgesplit.shards.calibrate import measure, whole_model_cost
from edgesplit.shards.store import Store

Zoo = Callable[[str], Graph]
Allocate = Callable[..., Allocation]


def test_costs_are_measured_once(zoo: Zoo, allocate: Allocate, tmp_path: Path) -> None:
    graph, store = zoo("lenet5"), Store(tmp_path)
    built = build(graph, lower(graph, allocate(graph, 2, 1)), tmp_path)
    digests = [shard.digest for shard in built.shards.values()]
    costs = measure([*digests, digests[0]], store, repeats=3)
    assert list(costs) == list(dict.fromkeys(digests))
    assert all(seconds > 0 for seconds in costs.values())
    for path in tmp_path.glob("*.onnx"):
        path.unlink()
    assert measure(digests, store, repeats=3) == costs


def test_the_whole_model_costs_more_than_its_smallest_shard(
    zoo: Zoo, allocate: Allocate, tmp_path: Path
) -> None:
    graph, store = zoo("vgg16"), Store(tmp_path)
    built = build(graph, lower(graph, allocate(graph, 4)), tmp_path)
    costs = measure([shard.digest for shard in built.shards.values()], store)
    whole = whole_model_cost(graph, store)
    assert whole > min(costs.values())
    assert whole_model_cost(graph, store) == whole
