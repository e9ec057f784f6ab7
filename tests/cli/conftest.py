"""A small cluster, planned once and deployed once for each module that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import Desk


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def desk(tmp_path: Path, cache: Path) -> Desk:
    """A folder with nothing in it."""
    return Desk(tmp_path, cache)


@pytest.fixture
def started(desk: Desk) -> Desk:
    """A folder with the starter files."""
    desk.start()
    return desk


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Desk]:
    """A folder with an allocation over four devices that is deployed, and an input."""
    desk = Desk(tmp_path_factory.mktemp("deployed"), cache)
    desk.start_small()
    desk.done("plan", "cluster.yaml", "model.yaml")
    rng = np.random.default_rng(0)
    np.save(desk.folder / "x.npy", rng.random((1, 1, 32, 32), dtype=np.float32))
    try:
        desk.done("deploy", "allocation.yaml")
        yield desk
    finally:
        if (desk.folder / "allocation.deployed.json").exists():
            desk.done("down", "allocation.yaml", "--purge")
        assert desk.executors() == []
