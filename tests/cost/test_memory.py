"""Predicted against measured memory, in processes that run what an executor runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from small_models import Draft

from edgesplit.cost.chain import Chain
from edgesplit.cost.memory import ARENAS, BASE, MIB, PASSING, SESSION, footprint
from edgesplit.cost.work import Work

TOLERANCE = 15 * MIB

CHILD = """
import json, sys
from pathlib import Path
import numpy as np
import edgesplit.runtime.executor
from edgesplit.runtime.session import open_session, share_allocator

def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024

idle = resident("RssFile")
share_allocator()
session = open_session(Path(sys.argv[1]), 1)
need = session.get_inputs()[0]
x = np.ones(need.shape, np.float32)
for _ in range(5):
    y = session.run(None, {need.name: x})
print(json.dumps([resident("RssAnon"), resident("RssFile") - idle]))
"""


def save(draft: Draft, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(draft.model(), path, save_as_external_data=True, location="weights")
    return path


def measure(path: Path) -> tuple[int, int]:
    """Return the anonymous and the mapped bytes of a process that has run the model."""
    command = [sys.executable, "-c", CHILD, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    anonymous, mapped = json.loads(done.stdout)
    return anonymous, mapped


def convolutions() -> Draft:
    draft = Draft((1, 64, 112, 112))
    for channels in (64, 128):
        draft.add("Conv", draft.weight(channels, 64, 3, 3, scale=0.1), pads=[1, 1, 1, 1])
        draft.add("Relu")
    return draft


def rows() -> Draft:
    draft = Draft((1, 4096))
    draft.add("Gemm", draft.weight(2048, 4096, scale=0.1), transB=1)
    draft.add("Relu")
    return draft


def narrow() -> Draft:
    draft = Draft((1, 8, 8, 8))
    draft.add("Conv", draft.weight(8, 8, 3, 3), pads=[1, 1, 1, 1])
    return draft


@pytest.mark.parametrize("make", [convolutions, rows, narrow])
def test_predicted_memory_is_what_a_session_takes(
    make: Callable[[], Draft], tmp_path: Path
) -> None:
    draft = make()
    graph = draft.imported(tmp_path)
    chain = Chain(graph)
    count = len(graph.layers)
    crossing = (chain.arriving[0][count] + chain.leaving[0][count]).nbytes
    predicted = footprint(chain.work(0, count), crossing, window=1)
    anonymous, mapped = measure(save(draft, tmp_path))
    assert abs(predicted.anonymous - anonymous) <= max(TOLERANCE, 0.15 * anonymous)
    assert mapped >= 0.9 * predicted.mapped


def test_windows_and_loading_are_reserved() -> None:
    work = Work(macs=0, mapped=5 * MIB, copied=10 * MIB, live=MIB, largest=10 * MIB)
    narrow, wide = footprint(work, MIB, window=1), footprint(work, MIB, window=32)
    assert narrow.anonymous == wide.anonymous > BASE + 10 * MIB
    assert wide.total - wide.anonymous - wide.mapped == (64 - PASSING) * MIB
    assert narrow.reserved == (3 * 10 - ARENAS - PASSING) * MIB
    assert narrow.mapped == 5 * MIB


def test_sessions_of_one_executor_share_the_base_and_the_arena() -> None:
    work = Work(0, 0, 0, 10 * MIB)
    one, three = (footprint(work, 0, 1, sessions=count).anonymous for count in (1, 3))
    assert three - one == 2 * SESSION
