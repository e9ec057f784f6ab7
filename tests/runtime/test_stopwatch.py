"""Timing beside a yardstick: what counts, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnxruntime as ort
import pytest

from edgesplit.dataflow.assembly import Array
from edgesplit.graph.samples import random_inputs
from edgesplit.runtime.session import open_session
from edgesplit.runtime.stopwatch import Patience, Yardstick, ports
from edgesplit.shards.yardstick import yardstick

_NEVER, _ALWAYS = 1e-12, 1e12
"""Seconds of a yardstick that a machine is never, or always, as fast as."""


@dataclass(frozen=True)
class Subject:
    session: ort.InferenceSession
    feeds: Mapping[str, Array]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    path = tmp_path_factory.mktemp("yardstick") / "yardstick.onnx"
    path.write_bytes(yardstick())
    session = open_session(path, 1, shared=False)
    return Subject(session, random_inputs(ports(session), seed=0))


def test_the_best_is_what_was_ever_seen(subject: Subject) -> None:
    measuring = Yardstick(subject.session, subject.feeds)
    found = measuring.best
    measuring.seconds(subject.session, subject.feeds, Patience(3, 1.0))
    assert 0 < measuring.best <= found


def test_what_takes_one_time_as_long_is_one_yardstick(subject: Subject) -> None:
    measuring = Yardstick(subject.session, subject.feeds)
    seconds = measuring.seconds(subject.session, subject.feeds, Patience(3, 10.0))
    assert seconds == pytest.approx(measuring.best, rel=0.3)


def test_a_machine_that_is_never_at_its_best_is_not_waited_for_for_ever(subject: Subject) -> None:
    slow = Yardstick(subject.session, subject.feeds, best=_NEVER)
    seconds = slow.seconds(subject.session, subject.feeds, Patience(3, 0.1))
    # In proportion: the same work takes what the yardstick is said to take at its best.
    assert seconds == pytest.approx(_NEVER, rel=0.9)


def test_without_patience_there_is_still_one_run_on_which_to_go(subject: Subject) -> None:
    measuring = Yardstick(subject.session, subject.feeds, best=_ALWAYS)
    assert measuring.seconds(subject.session, subject.feeds, Patience(1, 1.0)) > 0
