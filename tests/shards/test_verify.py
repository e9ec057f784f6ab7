from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from edgesplit.errors import ShardError
from edgesplit.graph.model import Graph
from edgesplit.graph.samples import random_inputs
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.lower import lower
from edgesplit.shards.builder import Built, build
from edgesplit.shards.oracle import Oracle, error
from edgesplit.shards.stitched import Stitched
from edgesplit.shards.store import Store
from edgesplit.shards.verify import verify

Zoo = Callable[[str], Graph]
Allocate = Callable[..., Allocation]


@pytest.mark.parametrize("devices", range(1, 8))
@pytest.mark.parametrize("name", ["lenet5", "alexnet", "vgg16"])
def test_stitched_shards_answer_like_the_whole_model(
    zoo: Zoo, allocate: Allocate, tmp_path: Path, name: str, devices: int
) -> None:
    graph = zoo(name)
    parity = 1 if devices > 1 else 0
    built = build(graph, lower(graph, allocate(graph, devices, parity, seed=devices)), tmp_path)
    found = verify(graph, built.table, tmp_path)
    names = {pattern.name for pattern in found.patterns}
    rows = [task for task in built.table.tasks if "/" in task.name]
    assert all(pattern.passed for pattern in found.patterns)
    assert names >= {f"{task.name} on {task.device} lost" for task in rows}
    assert bool(rows) == (devices > 1)
    for pattern in found.patterns:
        decodes = "/" in pattern.name and "/p" not in pattern.name
        assert pattern.recovered >= decodes
        assert decodes or pattern.recovered == 0 or pattern.name.startswith("device")


def test_splits_without_parity(zoo: Zoo, allocate: Allocate, tmp_path: Path) -> None:
    graph = zoo("vgg16")
    built = build(graph, lower(graph, allocate(graph, 5)), tmp_path)
    found = verify(graph, built.table, tmp_path)
    assert [pattern.name for pattern in found.patterns] == ["nothing lost"]
    stitched = Stitched(built.table, Store(tmp_path))
    lost = stitched.tasks_of("d3")
    assert stitched.run(random_inputs(graph.inputs, 0), [lost]) == [None]


def test_two_parity_rows_survive_any_two_devices(
    zoo: Zoo, allocate: Allocate, tmp_path: Path
) -> None:
    graph = zoo("alexnet")
    allocation = allocate(graph, 4, 2)
    built = build(graph, lower(graph, allocation), tmp_path)
    oracle = Oracle(graph, built.table, store=Store(tmp_path))
    stitched = Stitched(built.table, Store(tmp_path))
    devices = [f"d{i}" for i in range(4)] + ["p0", "p1"]
    losses = [stitched.tasks_of(*pair) for pair in combinations(devices, 2)]
    inputs = random_inputs(graph.inputs, 5)
    right = oracle.run(inputs)
    for answer in stitched.run(inputs, losses):
        assert answer is not None
        assert error(answer.outputs, right) <= oracle.tolerance(answer.recovered)
    (gone,) = stitched.run(inputs, [stitched.tasks_of("d0", "d1", "p0")])
    assert gone is None


def test_a_verdict_is_remembered(zoo: Zoo, allocate: Allocate, tmp_path: Path) -> None:
    graph, steps = zoo("lenet5"), list[tuple[int, int]]()
    table = build(graph, lower(graph, allocate(graph, 2, 1)), tmp_path).table
    first = verify(graph, table, tmp_path, progress=lambda *step: steps.append(step))
    assert steps == [(done, len(table.tasks)) for done in range(len(table.tasks))]
    for path in tmp_path.glob("*.onnx"):
        path.unlink()
    assert verify(graph, table, tmp_path) == first


@pytest.mark.parametrize("victim", ["stage2/0", "stage3/1", "stage2/p0"])
def test_a_damaged_weight_is_found_and_its_stage_named(
    zoo: Zoo, allocate: Allocate, tmp_path: Path, victim: str
) -> None:
    graph = zoo("lenet5")
    built = build(graph, lower(graph, allocate(graph, 2, 1)), tmp_path)
    _damage(tmp_path, _weights(built, victim))
    with pytest.raises(ShardError, match=r"differ from the whole model by [\d.]+") as caught:
        verify(graph, built.table, tmp_path)
    assert caught.value.where == f"stage {victim.partition('/')[0]}"
    # A failed verdict isn't remembered as a good one.
    with pytest.raises(ShardError):
        verify(graph, built.table, tmp_path)


def test_a_shard_that_is_no_model_is_told(zoo: Zoo, allocate: Allocate, tmp_path: Path) -> None:
    graph = zoo("lenet5")
    built = build(graph, lower(graph, allocate(graph, 2, 1)), tmp_path)
    task = next(task for task in built.table.tasks if task.name == "stage3/1")
    (tmp_path / f"{task.shard}.onnx").write_bytes(b"no model")
    with pytest.raises(ShardError, match="can't load") as caught:
        verify(graph, built.table, tmp_path)
    assert caught.value.where == "task stage3/1"


def _weights(built: Built, name: str) -> str:
    task = next(task for task in built.table.tasks if task.name == name)
    return built.shards[task.id].files[1][0]


def _damage(folder: Path, name: str) -> None:
    """Flip an exponent bit of one weight in sixteen: some feed a unit that the input excites."""
    path = folder / name
    data = bytearray(path.read_bytes())
    data[3::64] = bytes(byte ^ 1 for byte in data[3::64])
    path.write_bytes(data)


def test_a_code_whose_parity_never_arrives_fails(
    zoo: Zoo, allocate: Allocate, tmp_path: Path
) -> None:
    graph = zoo("lenet5")
    table = build(graph, lower(graph, allocate(graph, 2, 1)), tmp_path).table
    mute = tuple(replace(t, outputs=()) if t.name == "stage2/p0" else t for t in table.tasks)
    with pytest.raises(ShardError, match="no answer forms with stage2/0 on d0 lost") as caught:
        verify(graph, replace(table, tasks=mute), tmp_path)
    assert caught.value.where == "stage stage2"


@pytest.mark.parametrize("kind", ["nan", "inf", "shape", "zero"])
def test_wrong_answers_are_never_within_tolerance(kind: str) -> None:
    right = {"y": np.array([[1.0, 2.0]], np.float32)}
    wrong = {
        "nan": np.array([[1.0, np.nan]], np.float32),
        "inf": np.array([[np.inf, 2.0]], np.float32),
        "shape": np.array([[1.0]], np.float32),
        "zero": np.zeros((1, 2), np.float32),
    }[kind]
    assert not error({"y": wrong}, right) <= 0.5


def test_not_a_number_equals_itself_in_an_answer() -> None:
    right = {"y": np.array([1.0, np.nan, np.inf], np.float32)}
    assert error({"y": right["y"].copy()}, right) == 0.0


def _noise(graph: Graph, store: Store | None = None) -> float:
    return Oracle(graph, store=store).noise


def test_the_noise_floor_is_small_and_remembered(zoo: Zoo, tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = _noise(zoo("vgg16"), store)
    assert 0 <= first < 1e-4
    assert len(list((tmp_path / "memo").glob("*.noise"))) == 1
    assert _noise(zoo("vgg16"), store) == first
