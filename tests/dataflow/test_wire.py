"""The wire format: round trips, and nothing else gets through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import (
    GATEWAY,
    Flow,
    Group,
    Input,
    Output,
    Placement,
    Port,
    Task,
    TaskTable,
)
from edgesplit.dataflow.wire import HEADER_BYTES, Drop, Header, Kind, screen

U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
HEADERS = st.builds(
    Header,
    kind=st.sampled_from(Kind),
    epoch=U32,
    nonce=U64,
    request=U64,
    lowest=U64,
    attempt=U16,
    variant=U16,
    flow=U32,
    remaining=U32,
    length=U32,
    recovered=U16,
    dtype=st.sampled_from(["none", "float32", "uint8", "int64", "bool", "float16", "uint64"]),
)
FLOW = Flow(3, "y", Region((0, 2), (2, 5)), "float16", ("a", "b"), ("m", GATEWAY))
RIGHT = Header(Kind.DATA, 1, 2, flow=3, length=12, dtype="float16")


@given(HEADERS)
def test_a_header_survives_the_wire(header: Header) -> None:
    packed = header.pack()
    assert len(packed) == HEADER_BYTES
    assert Header.unpack(packed) == header


@given(st.binary(max_size=2 * HEADER_BYTES))
def test_random_bytes_are_a_header_only_if_they_pack_to_themselves(data: bytes) -> None:
    header = Header.unpack(data)
    # The padding at the end is the only part that is not looked at.
    assert header is None or header.pack()[:-5] == data[:-5]


@given(HEADERS, st.integers(0, 3), st.integers(1, 255))
def test_another_magic_version_or_kind_is_no_header(header: Header, at: int, flip: int) -> None:
    packed = bytearray(header.pack())
    packed[at] ^= flip
    other = Header.unpack(bytes(packed))
    assert other is None or (at == 3 and other == header._replace(kind=other.kind))


@given(HEADERS, st.integers(0, 2 * HEADER_BYTES).filter(lambda n: n != HEADER_BYTES))
def test_only_whole_headers_are_read(header: Header, size: int) -> None:
    assert Header.unpack((header.pack() * 2)[:size]) is None


def test_what_fits_the_table_passes() -> None:
    assert screen(RIGHT, 12, "a", "m", {3: FLOW}) is None
    assert screen(RIGHT, 12, "b", GATEWAY, {3: FLOW}) is None


@pytest.mark.parametrize(
    ("header", "size", "sender", "receiver", "reason"),
    [
        (RIGHT._replace(flow=4), 12, "a", "m", Drop.FLOW),
        (RIGHT, 12, "a", "b", Drop.FLOW),
        (RIGHT, 12, "m", "m", Drop.SENDER),
        (RIGHT, 12, GATEWAY, "m", Drop.SENDER),
        (RIGHT._replace(variant=1), 12, "a", "m", Drop.VARIANT),
        (RIGHT._replace(dtype="uint16"), 12, "a", "m", Drop.DTYPE),
        (RIGHT, 11, "a", "m", Drop.LENGTH),
        (RIGHT._replace(length=14), 14, "a", "m", Drop.LENGTH),
        (RIGHT._replace(length=0), 12, "a", "m", Drop.LENGTH),
    ],
)
def test_what_does_not_fit_has_a_reason(
    header: Header, size: int, sender: str, receiver: str, reason: Drop
) -> None:
    assert screen(header, size, sender, receiver, {3: FLOW}) is reason


def test_a_table_survives_its_text() -> None:
    box = Region.full((2, 5))
    group = Group(((3, 0), (1,)), (Placement(FLOW.region, box),), ((1.0, -0.25),))
    feed = Input("y", "y", box, "float16", (group,))
    task = Task(0, "t", "s", "m", (feed,), (Output("z", 3, box),), "ab" * 32)
    port = Port("z", (2, 5), "float16")
    table = TaskTable((FLOW,), (task,), (port,), (port,), window=3, gateways=5)
    again = TaskTable.from_json(table.to_json())
    assert (again, again.digest) == (table, table.digest)
    assert again.with_shards({0: "cd" * 32}).digest != table.digest


@pytest.mark.parametrize("text", ["[]", "{}", '{"flows": 3}', "null", "{"])
def test_other_text_is_no_table(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - two readers, two wordings
        TaskTable.from_json(text)


def test_bytes_of_a_flow_are_its_elements_times_their_size() -> None:
    assert FLOW.nbytes == np.zeros((2, 3), np.float16).nbytes
