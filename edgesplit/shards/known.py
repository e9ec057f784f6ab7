"""Known answers of built shards: computed once, remembered beside the shard."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgesplit.dataflow.table import GATEWAY, Task
from edgesplit.runtime.known import Known, known_feeds, sample
from edgesplit.runtime.session import open_session, output_names
from edgesplit.shards.builder import Built
from edgesplit.shards.store import Store

VERSION = 1
"""Of known inputs and of what is kept of outputs; a new one computes anew."""

# Most of the time goes into loading; more threads would only hold more weights at once.
_WORKERS = 4

Answers = Mapping[int, tuple[Known, ...]]
"""By task id, what is known of each of its shard's outputs."""


def known_answers(built: Built, folder: Path) -> Answers:
    """Return what each device's shard makes of its known inputs.

    Args:
        built: The shards of an allocation.
        folder: The store that holds them, and remembers their answers by digest.

    Raises:
        RuntimeFault: A shard can't be loaded.
    """
    store = Store(folder)
    tasks = [task for task in built.table.tasks if task.shard and task.device != GATEWAY]
    made = _made({str(task.shard): task for task in tasks}, store)
    return {
        task.id: tuple(made[str(task.shard)][name] for name in output_names(task)) for task in tasks
    }


def _made(tasks: Mapping[str, Task], store: Store) -> dict[str, Mapping[str, Known]]:
    """Return what is known of each shard's outputs by name, by its digest."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        return dict(
            zip(tasks, pool.map(lambda task: _outputs(task, store), tasks.values()), strict=True)
        )


def _outputs(task: Task, store: Store) -> Mapping[str, Known]:
    memo: Mapping[str, Known] | None = store.recall("known", task.shard, VERSION)
    if memo is None:
        memo = _compute(task, store)
        store.remember("known", task.shard, VERSION, value=memo)
    return memo


def _compute(task: Task, store: Store) -> dict[str, Known]:
    session = open_session(store.path(str(task.shard), ".onnx"), 1, shared=False)
    names = [output.name for output in session.get_outputs()]
    arrays = session.run(names, known_feeds(task))
    return {name: sample(array) for name, array in zip(names, arrays, strict=True)}
