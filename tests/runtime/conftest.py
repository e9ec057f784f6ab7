from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from executor_bed import Bed, Client, Coded, Keys, coded_layer


@pytest.fixture
def layer(tmp_path: Path) -> Coded:
    """A coded layer over the devices a, b, p and m; its shards lie in `blobs`."""
    (tmp_path / "blobs").mkdir()
    return coded_layer(tmp_path / "blobs")


@pytest.fixture
def bed(tmp_path: Path, layer: Coded) -> Iterator[Bed]:
    """The processes of the coded layer, not yet started."""
    bed = Bed(tmp_path, layer.table)
    yield bed
    bed.stop()


@pytest.fixture
def connect(bed: Bed) -> Iterator[Callable[..., Client]]:
    """Make clients of the bed; they close with the test."""
    with ExitStack() as stack:

        def make(keys: Keys | None = None, *, epoch: int | None = None) -> Client:
            client = Client(bed, keys, epoch=epoch)
            stack.callback(client.close)
            return client

        yield make
