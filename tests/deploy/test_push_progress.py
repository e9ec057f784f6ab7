from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from edgesplit.operate.prepare import Stage
from edgesplit.report import progress as report
from edgesplit.report.progress import LaunchProgress


def shown(
    monkeypatch: pytest.MonkeyPatch, stages: list[Stage], *, terminal: bool
) -> tuple[str, LaunchProgress]:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=terminal, width=120, highlight=False)
    monkeypatch.setattr(report, "people", lambda: console)
    with LaunchProgress() as progress:
        for stage in stages:
            progress(stage)
        progress._bars.refresh()
    return sink.getvalue(), progress


PUSH = [Stage("push", done, 8 << 20, "d1") for done in (0, 1 << 20, 2 << 20, 8 << 20)]


def test_away_from_a_terminal_a_push_is_told_when_it_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, _ = shown(monkeypatch, [Stage("push"), *PUSH, Stage("push")], terminal=False)
    assert re.fullmatch(r"pushing shards\nd1: pushed 8 MiB in [\d.]+ \w+ at [\d.]+ .?bit/s\n", text)


def test_on_a_terminal_a_push_shows_its_rate_and_what_remains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, _ = shown(monkeypatch, PUSH[:3], terminal=True)
    last = text.rpartition("d1: pushing shards")[2]
    assert "2 MiB of 8 MiB" in last
    assert re.search(r"[\d.]+ .?bit/s", last)
    assert "0:00:0" in last


def test_a_step_after_a_push_begins_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    _, progress = shown(monkeypatch, [*PUSH, Stage("staged", device="d1")], terminal=True)
    (bar,) = progress._bars.tasks
    assert (bar.total, bar.completed) == (None, 0)
