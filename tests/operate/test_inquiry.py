"""How a gateway asks for the record of the epoch that follows: one device, one piece at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relays import relay_table

from edgesplit.dataflow.pieces import PIECE, deflate
from edgesplit.dataflow.wire import NO_REQUEST, Drop, Header, Kind
from edgesplit.deploy.record import Record, to_text
from edgesplit.operate.inquiry import PATIENCE, Inquiry, successor
from edgesplit.runtime.program import Peer

BOTH = frozenset({"a", "b"})
TEXT = json.dumps({"source": "x" * (2 * PIECE)})
RECORD = Record(
    cluster="lab",
    epoch=3,
    allocation="",
    table=relay_table(("a", "b")),
    peers={name: Peer("tcp://127.0.0.1:7000", "0" * 40) for name in BOTH},
    programs={},
    deadline=1.0,
)


def piece(number: int, total: int = len(TEXT)) -> tuple[Header, bytes]:
    body = deflate(TEXT.encode(), number) or b""
    header = Header(Kind.RECORD, 3, 1, NO_REQUEST, lowest=total, flow=number, length=len(body))
    return header, body


def asked(device: str = "a", now: float = 0.0) -> Inquiry:
    inquiry = Inquiry()
    assert inquiry.begin(device, BOTH, now)
    return inquiry


def test_pieces_come_one_after_another_and_the_text_at_the_end() -> None:
    inquiry = asked()
    assert inquiry.take("a", *piece(0), 0.1) == 1
    assert inquiry.take("a", *piece(1), 0.2) == 2
    assert inquiry.take("a", *piece(2), 0.3) == TEXT


def test_nobody_is_asked_while_a_device_has_time_to_answer_and_then_another_is() -> None:
    inquiry = asked()
    assert not inquiry.begin("b", BOTH, PATIENCE / 2)
    assert inquiry.take("a", *piece(0), PATIENCE / 2) == 1
    assert not inquiry.begin("b", BOTH, PATIENCE)
    assert not inquiry.begin("a", BOTH, 2 * PATIENCE)
    assert inquiry.begin("b", BOTH, 2 * PATIENCE)
    assert inquiry.take("a", *piece(1), 2 * PATIENCE) is Drop.RECORD
    assert inquiry.take("b", *piece(0), 2 * PATIENCE) == 1
    assert inquiry.begin("a", BOTH, 4 * PATIENCE)


def test_what_was_not_asked_for_is_dropped() -> None:
    assert Inquiry().take("a", *piece(0), 0.0) is Drop.RECORD
    for sender, number, now in (("b", 0, 0.1), ("a", 1, 0.1), ("a", 0, PATIENCE)):
        assert asked().take(sender, *piece(number), now) is Drop.RECORD


def test_a_text_that_changes_under_way_is_dropped() -> None:
    inquiry = asked()
    inquiry.take("a", *piece(0), 0.1)
    header, body = piece(1)
    assert inquiry.take("a", header._replace(lowest=len(TEXT) + 1), body, 0.2) is Drop.RECORD
    assert inquiry.take("a", *piece(1), 0.2) is Drop.RECORD
    assert inquiry.begin("b", BOTH, 0.1 + PATIENCE)


@given(st.text(max_size=200))
def test_a_text_of_something_else_is_no_record(text: str) -> None:
    assert successor(text, RECORD, 3) is None


def test_a_later_epoch_of_the_same_cluster_is_followed() -> None:
    later = replace(RECORD, epoch=4)
    assert successor(to_text(later), RECORD, 3) == later


@pytest.mark.parametrize(
    "other",
    [
        {"epoch": 3},
        {"epoch": 2},
        {"epoch": "4"},
        {"cluster": "other"},
        {"peers": {}},
        {"peers": {name: Peer("tcp://127.0.0.1:7000", "short") for name in BOTH}},
        {"peers": {name: Peer("tcp://127.0.0.1:7000", "#" * 40) for name in BOTH}},
        {"peers": {name: Peer("tcp://127.0.0.1:70000", "0" * 40) for name in BOTH}},
        {"peers": {name: Peer("ipc:///etc/passwd", "0" * 40) for name in BOTH}},
        {"peers": {name: Peer(7, "0" * 40) for name in BOTH}},  # type: ignore[arg-type]
    ],
)
def test_a_record_that_does_not_follow_is_refused(other: dict[str, object]) -> None:
    bad = replace(RECORD, **{"epoch": 4, **other})  # type: ignore[arg-type]
    assert successor(to_text(bad), RECORD, 3) is None
