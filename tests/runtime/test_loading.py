"""Loading: what an executor holds in memory before it serves."""

from __future__ import annotations

from pathlib import Path

from executor_bed import Bed, Coded

from edgesplit.dataflow.variants import together
from edgesplit.runtime.loading import load


def test_variants_that_run_the_same_shard_share_its_session(tmp_path: Path, layer: Coded) -> None:
    table = together([layer.table, layer.table])
    bed = Bed(tmp_path, table)
    loaded = load(bed.program("m"), bed.blobs)
    ours = [task for task in table.tasks_of("m") if task.shard]
    assert [task.variant for task in ours] == [0, 1]
    assert set(loaded.sessions) == {task.id for task in ours}
    assert len(set(map(id, loaded.sessions.values()))) == 1
