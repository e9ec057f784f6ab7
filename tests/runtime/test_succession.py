"""When an executor leaves, and what it tells before."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edgesplit.dataflow.pieces import PIECE, inflate
from edgesplit.dataflow.wire import NO_REQUEST, Header, Kind
from edgesplit.errors import RuntimeFault
from edgesplit.runtime.succession import Limits, Succession

OWN = 4
LIMITS = Limits(superseded=60.0, candidate=600.0)


@dataclass
class Releases:
    """A device's releases: the epoch of the current one, None where there is none."""

    current: int | None = OWN
    text: str | None = None

    def superseded(self) -> bool:
        return self.current not in (None, OWN)

    def candidate(self) -> bool:
        return self.current is None or self.current < OWN

    def record(self) -> bytes:
        if self.text is not None:
            return self.text.encode()
        if self.current is None:
            raise RuntimeFault("no release is active here")
        return json.dumps({"epoch": self.current}).encode()


def begin(current: int | None = OWN, text: str | None = None) -> tuple[Succession, Releases]:
    releases = Releases(current, text)
    return Succession(OWN, releases, LIMITS, 0.0), releases


def test_a_current_release_stays_for_ever() -> None:
    succession, _ = begin()
    assert not succession.tick(1e9, busy=False)
    assert succession.successor is None
    assert not Succession(OWN, None, LIMITS, 0.0).tick(1e9, busy=False)


def test_a_superseded_release_leaves_a_minute_after_its_last_request() -> None:
    succession, releases = begin()
    releases.current = 6
    assert not succession.tick(100.0, busy=True)
    assert succession.successor == 6
    assert not succession.tick(500.0, busy=True)
    assert not succession.tick(559.0, busy=False)
    assert succession.tick(560.0, busy=False) == "epoch 6 has taken over"


def test_the_minute_begins_with_the_change() -> None:
    succession, releases = begin()
    assert not succession.tick(1000.0, busy=False)
    releases.current = 5
    assert not succession.tick(1059.0, busy=False)
    assert succession.tick(1060.0, busy=False)


def test_a_release_that_is_current_again_stays() -> None:
    succession, releases = begin()
    releases.current = 5
    succession.tick(1.0, busy=False)
    succession.followed(7)
    assert not succession.staying([7])
    releases.current = OWN
    assert not succession.tick(100.0, busy=False)
    assert succession.successor is None
    assert succession.staying([7])
    releases.current = 6
    assert not succession.tick(159.0, busy=False)
    assert succession.tick(160.0, busy=False)


def test_a_candidate_that_never_becomes_current_leaves_even_if_it_is_tried() -> None:
    for current in (None, 3):
        succession, releases = begin(current)
        assert not succession.tick(599.0, busy=True)
        assert succession.successor is None
        assert "did not become current" in succession.tick(600.0, busy=True)
        releases.current = OWN
        assert not succession.tick(601.0, busy=False)


def ask(piece: int) -> Header:
    return Header(Kind.RECORD, OWN, 9, NO_REQUEST, flow=piece)


def test_the_record_is_given_in_pieces_as_it_was_when_it_was_read() -> None:
    text = json.dumps({"epoch": 5, "source": "x" * PIECE})
    succession, releases = begin(5, text)
    succession.tick(1.0, busy=False)
    parts = []
    for number in range(2):
        answer = succession.answer(ask(number))
        assert answer is not None
        header, body = answer
        assert (header.kind, header.flow, header.length) == (Kind.RECORD, number, len(body))
        parts.append(inflate(body, number, header.lowest) or b"")
        releases.text = "{}"
        succession.tick(1.1, busy=False)
    assert b"".join(parts).decode() == text
    assert succession.answer(ask(2)) is None


def test_a_later_change_is_told_too() -> None:
    succession, releases = begin(5)
    succession.tick(0.0, busy=False)
    succession.followed(7)
    releases.current = 6
    succession.tick(2.0, busy=False)
    assert succession.successor == 6
    assert set(succession.staying([7])) == {7}


def test_a_record_that_cannot_be_read_is_tried_again() -> None:
    succession, releases = begin(5, "no record")
    succession.tick(0.0, busy=False)
    assert succession.successor is None
    assert succession.answer(ask(0)) is None
    releases.text = '{"epoch": 5}'
    succession.tick(0.25, busy=False)
    assert succession.successor == 5
