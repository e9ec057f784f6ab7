"""The progress of a launch on stderr: a bar a device on a terminal, one line a step elsewhere."""

from __future__ import annotations

import threading
from time import monotonic
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from edgesplit.operate.prepare import Stage
from edgesplit.report.console import people
from edgesplit.spec.units import format_bytes, format_rate, format_seconds

_WORDS = {
    "plan": "reading the allocation",
    "build": "cutting shards",
    "verify": "comparing with the whole model",
    "measure": "measuring shards for pacing",
    "profile": "timing kernels",
    "links": "measuring links",
    "rehearse": "rehearsing with all devices",
    "probe": "checking devices",
    "lock": "locking the cluster",
    "provision": "giving devices what they lack",
    "keys": "checking keys",
    "push": "pushing shards",
    "staged": "ready to start",
    "keep": "runs it already",
    "start": "starting executors",
    "wait": "waiting until all are ready",
    "trial": "trying a request",
    "commit": "changing over",
    "drain": "letting the old release finish",
    "retire": "stopping the old release",
    "prune": "removing what is no longer needed",
    "unlock": "unlocking the cluster",
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
            _RateColumn(),
            TimeRemainingColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, tuple[str, TaskID]] = {}
        self._told: set[str] = set()
        self._begun: dict[str, float] = {}

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
        self._bars.update(
            self._bar(stage),
            description=_description(stage),
            completed=stage.done,
            total=stage.total or None,
            amount=_amount(stage),
        )

    def _bar(self, stage: Stage) -> TaskID:
        """Return the bar of a device, or of all; every stage begins one, with a rate of its own."""
        key = stage.device or stage.what
        what, bar = self._tasks.get(key, ("", None))
        if bar is None or what != stage.what:
            if bar is not None:
                self._bars.remove_task(bar)
            bar = self._bars.add_task("", total=None, amount="", bytes=_is_transfer(stage))
            self._tasks[key] = stage.what, bar
        return bar

    def _tell(self, stage: Stage) -> None:
        self._say(_words(stage))
        if _is_transfer(stage):
            seconds = monotonic() - self._begun.setdefault(stage.device, monotonic())
            if stage.done >= stage.total:
                self._say(_transferred(stage, seconds))

    def _say(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._console.print(text)


class _RateColumn(ProgressColumn):
    """Bytes a second of a transfer, as links are rated."""

    def render(self, task: Task) -> Text:
        moving = task.fields["bytes"] and task.speed
        return Text(format_rate(task.speed) if moving and task.speed else "")


def _description(stage: Stage) -> str:
    return f"{stage.device}: {_words(stage)}" if stage.device else _words(stage)


def _words(stage: Stage) -> str:
    return _WORDS.get(stage.what, stage.what)


def _is_transfer(stage: Stage) -> bool:
    return stage.what == "push" and stage.total > 0


def _amount(stage: Stage) -> str:
    if not stage.total:
        return ""
    if _is_transfer(stage):
        return f"{format_bytes(stage.done)} of {format_bytes(stage.total)}"
    return f"{stage.done} of {stage.total}"


def _transferred(stage: Stage, seconds: float) -> str:
    rate = f" at {format_rate(stage.total / seconds)}" if seconds else ""
    moved = f"{format_bytes(stage.total)} in {format_seconds(seconds)}"
    return f"{stage.device}: pushed {moved}{rate}"
