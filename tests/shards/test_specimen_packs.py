"""Packs of specimens: small on the way, and timed on the device with weights made there."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_models import Draft

from edgesplit.errors import RuntimeFault
from edgesplit.graph.model import Graph
from edgesplit.plan.specimens import specimens, whole_model
from edgesplit.runtime.root import Root
from edgesplit.runtime.specimens import measure
from edgesplit.shards.specimens import EMPTY, Pack, pack

_NAME = f"{'0' * 64}.zip"
_EVERYTHING = 1 << 30


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """A convolution and a matrix of 4 MiB, with what is done in passing."""
    draft = Draft((1, 4, 16, 16))
    draft.add("Conv", draft.weight(8, 4, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    draft.add("Relu")
    draft.add("Flatten")
    draft.add("Gemm", draft.weight(512, 2048), transB=1)
    return draft.imported(tmp_path / "model")


def _measured(made: Pack, folder: Path) -> list[dict[str, Any]]:
    root = Root(folder)
    root.blobs.mkdir(parents=True)
    (root.blobs / _NAME).write_bytes(made.content)
    told: list[dict[str, Any]] = []
    measure(root, _NAME, 1, lambda line: told.append(json.loads(json.dumps(line))))
    assert [*root.folder.iterdir()] == [root.blobs]
    assert [*root.blobs.iterdir()] == []
    return told


def test_every_specimen_is_timed_and_nothing_is_left(graph: Graph, tmp_path: Path) -> None:
    every = (*specimens(graph, (2, 4)), whole_model(graph))
    made = pack(graph, every, _EVERYTHING)
    hello, *lines = _measured(made, tmp_path / "device")
    assert hello["machine"]
    assert {line["name"] for line in lines} == {EMPTY, *made.specimens}
    assert all(line["seconds"] > 0 for line in lines)
    assert [*made.specimens.values()] == [*every]


def test_weights_do_not_travel(graph: Graph) -> None:
    made = pack(graph, specimens(graph, (2, 4)), _EVERYTHING)
    kernels = [kernel for one in made.specimens.values() for kernel in one.kernels]
    assert sum(kernel.weights for kernel in kernels) > 4 << 20
    assert len(made.content) < 1 << 16


def test_what_a_device_cannot_hold_is_left_out(graph: Graph, tmp_path: Path) -> None:
    every = specimens(graph, (2, 4))
    made = pack(graph, every, 2 << 20)
    assert len(made.heavy) + len(made.specimens) == len(every)
    assert all(kernel.weights > 1 << 20 for one in made.heavy for kernel in one.kernels)
    assert made.heavy
    _, *lines = _measured(made, tmp_path / "device")
    assert all("seconds" in line for line in lines)


def test_one_that_fails_does_not_cost_the_others(graph: Graph, tmp_path: Path) -> None:
    made = pack(graph, specimens(graph, ()), _EVERYTHING)
    _, *lines = _measured(replace(made, content=_spoilt(made, "0.onnx")), tmp_path / "device")
    assert [line["name"] for line in lines if line.get("failed")] == ["0.onnx"]
    assert sum("seconds" in line for line in lines) == len(made.specimens)


def test_what_is_no_archive_is_refused_and_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match="holds no specimens"):
        _measured(Pack(b"not a zip", {}, ()), tmp_path / "device")
    assert [*(tmp_path / "device").rglob("*")] == [tmp_path / "device" / "blobs"]


def _spoilt(made: Pack, name: str) -> bytes:
    """Return the archive with one file that is no model."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(made.content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for one in old.namelist():
            new.writestr(one, b"no model" if one == name else old.read(one))
    return buffer.getvalue()
