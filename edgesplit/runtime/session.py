"""ONNX Runtime as a small computer wants it: few threads, no spinning, weights mapped."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from edgesplit.dataflow.assembly import Array
from edgesplit.dataflow.table import Flow, Task
from edgesplit.errors import RuntimeFault
from edgesplit.runtime.failures import ORT_FAILURES
from edgesplit.runtime.known import Known, agrees, known_feeds

_ERROR = 3
_SAME_AS_REQUESTED = 1
_M_MMAP_THRESHOLD, _THRESHOLD = -3, 1 << 20


def return_freed_memory() -> None:
    """Have the C library give large blocks back to the system as they are freed.

    The weights of convolutions pass through the heap while they are reordered; glibc would keep
    that heap, up to twice the weights. Without glibc there is no such setting, and no such heap.
    """
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)


def share_allocator() -> None:
    """Have all sessions of this process that ask for it take memory from one arena."""
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    arena = ort.OrtArenaCfg({"arena_extend_strategy": _SAME_AS_REQUESTED})
    ort.create_and_register_allocator(memory, arena)


def open_session(
    path: Path, threads: int, *, shared: bool = True, reorder: bool = True
) -> ort.InferenceSession:
    """Open a shard.

    Args:
        path: The ONNX file; its external weights are mapped, not read.
        threads: Threads within one operator.
        shared: Whether to use the allocator of `share_allocator`, which must have been called.
        reorder: Whether weights of convolutions may be copied into a faster order.

    Raises:
        RuntimeFault: ONNX Runtime can't load it.
    """
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if reorder else levels.ORT_ENABLE_EXTENDED
    )
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Packed weights are a second copy in anonymous memory; mapped ones can be dropped and reread.
    options.add_session_config_entry("session.disable_prepacking", "1")
    if shared:
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except ORT_FAILURES as error:
        raise RuntimeFault(
            f"ONNX Runtime can't load the shard ({_first_line(error)})",
            where=path.name,
            remedy="deploy the allocation again",
        ) from error


def warm(
    session: ort.InferenceSession,
    task: Task,
    flows: Mapping[int, Flow],
    answers: Sequence[Known] | None = None,
) -> None:
    """Run a task once on its known inputs and compare what comes out with what is promised.

    Args:
        session: The task's shard.
        task: What is run.
        flows: The flows of the task table by id: shape and dtype of what the task makes.
        answers: What is known of each array in `output_names`; None where nothing is.

    Raises:
        RuntimeFault: The shard doesn't run, is not the one that the task table means, or computes
            something else here than where it was built.
    """
    names = output_names(task)
    try:
        arrays = dict(zip(names, session.run(names, known_feeds(task)), strict=True))
    except ORT_FAILURES as error:
        raise _mismatch(task, _first_line(error)) from error
    for output in task.outputs:
        flow, array = flows[output.flow], arrays[output.name]
        made = (array[output.cut].shape, str(array.dtype))
        if made != (flow.region.shape, flow.dtype):
            raise _mismatch(task, f"{output.name} is {made}, not {flow.region.shape, flow.dtype}")
    if answers is not None:
        _compare(task, arrays, answers)


def _compare(task: Task, arrays: Mapping[str, Array], answers: Sequence[Known]) -> None:
    if len(answers) != len(arrays):
        raise _mismatch(task, f"{len(answers)} answers are known of {len(arrays)} outputs")
    for (name, array), known in zip(arrays.items(), answers, strict=True):
        if not agrees(array, known):
            raise RuntimeFault(
                f"{name} differs from its known answer: this device computes something else",
                where=task.name,
                remedy="install the same onnxruntime as on the controller, or deploy again",
            )


def output_names(task: Task) -> list[str]:
    """Return the arrays that a task's contributions are cut from, each once."""
    return list(dict.fromkeys(output.name for output in task.outputs))


def _mismatch(task: Task, why: str) -> RuntimeFault:
    return RuntimeFault(
        f"shard {task.shard} doesn't fit its task ({why})",
        where=task.name,
        remedy="build and deploy the allocation again",
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
