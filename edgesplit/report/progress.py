"""The progress of a launch on stderr: a bar a device on a terminal, one line a step elsewhere."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edgesplit.operate.launch import Stage
from edgesplit.report.console import people
from edgesplit.spec.units import format_bytes

_WORDS = {
    "plan": "reading the allocation",
    "build": "cutting shards",
    "verify": "comparing with the whole model",
    "measure": "measuring shards for pacing",
    "probe": "checking devices",
    "keys": "checking keys",
    "push": "pushing shards",
    "staged": "ready to start",
    "keep": "runs it already",
    "start": "starting executors",
    "wait": "waiting until all are ready",
}


class LaunchProgress:
    """Shows what a launch is at; call it with every stage, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._console = people()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bars away; what comes next may print."""
        if self._console.is_terminal:
            self._bars.stop()

    def __call__(self, stage: Stage) -> None:
        """Take a stage of the launch."""
        with self._lock:
            (self._draw if self._console.is_terminal else self._tell)(stage)

    def _draw(self, stage: Stage) -> None:
        key = stage.device or stage.what
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task("", total=None, amount="")
        self._bars.update(
            self._tasks[key],
            description=_description(stage),
            completed=stage.done,
            total=stage.total or None,
            amount=_amount(stage),
        )

    def _tell(self, stage: Stage) -> None:
        text = _words(stage)
        if text not in self._told:
            self._told.add(text)
            self._console.print(text)


def _description(stage: Stage) -> str:
    return f"{stage.device}: {_words(stage)}" if stage.device else _words(stage)


def _words(stage: Stage) -> str:
    return _WORDS.get(stage.what, stage.what)


def _amount(stage: Stage) -> str:
    if not stage.total:
        return ""
    if stage.what == "push":
        return f"{format_bytes(stage.done)} of {format_bytes(stage.total)}"
    return f"{stage.done} of {stage.total}"
