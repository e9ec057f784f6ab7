"""What a crew does on all its devices at once, and what an interruption of that leaves."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, get_ident
from types import FrameType

import pytest
from plans import device

from edgesplit.deploy.crew import open_crew
from edgesplit.deploy.station import Station

PATIENCE = 30.0


@contextmanager
def interruptible() -> Iterator[Event]:
    """Have SIGINT interrupt as Ctrl-C does, and yield what tells that it has."""
    seen = Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        seen.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interruption_waits_for_what_must_be_settled() -> None:
    done, ours = [], get_ident()
    with interruptible() as interrupted:

        def work(station: Station) -> None:
            if station.device.name == "a":
                signal.pthread_kill(ours, signal.SIGINT)
            assert interrupted.wait(PATIENCE)
            done.append(station.device.name)

        devices = [device(name) for name in "abc"]
        with open_crew(devices, "interrupted") as crew, pytest.raises(KeyboardInterrupt):
            crew.attempt(work, settled=True)
    assert sorted(done) == ["a", "b", "c"]
