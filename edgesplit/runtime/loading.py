"""What an executor loads before it listens: the task table and its shards, checked and warmed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from edgesplit.dataflow.table import GATEWAY, Flow, Task, TaskTable
from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import file_digest
from edgesplit.runtime.program import Program
from edgesplit.runtime.session import open_session, return_freed_memory, share_allocator, warm

_log = logging.getLogger(__name__)
_REMEDY = "deploy the allocation again"


@dataclass(frozen=True)
class Loaded:
    """A program with everything it names, ready to run.

    `flows` are all flows of the table by id; `sessions` are by task id, one for all that run the
    same shard; `sends` are the devices that this one has contributions for.
    """

    program: Program
    table: TaskTable
    flows: dict[int, Flow]
    sessions: dict[int, ort.InferenceSession]
    sends: frozenset[str]

    @property
    def max_frame(self) -> int:
        """Bytes of the largest body that may come in."""
        device = self.program.device
        sizes = (flow.nbytes for flow in self.flows.values() if device in flow.receivers)
        return max(sizes, default=0)


def load(program: Program, blobs: Path, names: Iterable[str] = ()) -> Loaded:
    """Load the task table and open a warmed session for each task of this device.

    Args:
        program: What is to run.
        blobs: The folder of blobs.
        names: Blobs to hash again first: all that the release's manifest lists.

    Raises:
        RuntimeFault: A blob is missing or damaged, or doesn't fit the program, or a task doesn't
            reproduce its known answer.
    """
    for name in names:
        _check(blobs / name)
    table = _table(blobs / f"{program.table}.json", program.table)
    flows = {flow.id: flow for flow in table.flows}
    tasks = table.tasks_of(program.device)
    sends = _sends(program, tasks, flows)
    return Loaded(program, table, flows, _sessions(program, tasks, flows, blobs), sends)


def _check(path: Path) -> None:
    try:
        digest = file_digest(path)
    except OSError as error:
        raise RuntimeFault(
            f"blob {path.name} can't be read ({error.strerror})", where=str(path), remedy=_REMEDY
        ) from error
    if digest != path.name.partition(".")[0]:
        raise RuntimeFault(f"blob {path.name} is damaged", where=str(path), remedy=_REMEDY)


def _table(path: Path, digest: str) -> TaskTable:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RuntimeFault(
            f"the task table can't be read ({error.strerror})", where=str(path), remedy=_REMEDY
        ) from error
    if hashlib.sha256(text).hexdigest() != digest:
        raise RuntimeFault("the task table is damaged", where=str(path), remedy=_REMEDY)
    try:
        return TaskTable.from_json(text.decode())
    except ValueError as error:
        raise RuntimeFault(
            f"the task table is of another version ({error})", where=str(path), remedy=_REMEDY
        ) from error


def _sends(program: Program, tasks: tuple[Task, ...], flows: dict[int, Flow]) -> frozenset[str]:
    receivers = {name for t in tasks for out in t.outputs for name in flows[out.flow].receivers}
    sends = frozenset(receivers - {program.device, GATEWAY})
    if unknown := sends - program.peers.keys():
        raise RuntimeFault(
            f"the program doesn't say where {', '.join(sorted(unknown))} listens",
            where=program.device,
            remedy=_REMEDY,
        )
    return sends


def _sessions(
    program: Program, tasks: tuple[Task, ...], flows: dict[int, Flow], blobs: Path
) -> dict[int, ort.InferenceSession]:
    paths = {task.id: blobs / f"{task.shard}.onnx" for task in tasks if task.shard is not None}
    for path in paths.values():
        if not path.is_file():
            raise RuntimeFault("a shard is missing", where=str(path), remedy=_REMEDY)
    if paths:
        return_freed_memory()
    share_allocator()
    opened: dict[Path, ort.InferenceSession] = {}
    # The largest first: what the arena holds for it does for those that follow.
    for task in sorted((task for task in tasks if task.id in paths), key=_fed, reverse=True):
        path = paths[task.id]
        if path not in opened:
            # Mapped weights are there once for all shards that have them, reordered ones for each.
            reorder = task.id not in program.alike
            opened[path] = open_session(path, program.threads, reorder=reorder)
        warm(opened[path], task, flows, program.answers.get(task.id))
        _log.info("task %s is loaded and warm", task.name)
    return {task: opened[path] for task, path in paths.items()}


def _fed(task: Task) -> int:
    """Return the number of elements that a task is fed."""
    return sum(one.region.size for one in task.inputs)
