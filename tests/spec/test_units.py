from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.spec.units import (
    DURATION,
    RATE,
    SIZE,
    format_bytes,
    format_rate,
    format_seconds,
    parse_bytes,
    parse_rate,
    parse_seconds,
)

finite = st.floats(min_value=0, max_value=1e18, allow_subnormal=False)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1 GiB", 2**30),
        ("160 MiB", 160 * 2**20),
        ("512 MB", 512 * 10**6),
        ("1.5GiB", 3 * 2**29),
        (" 0.7 MB ", 700_000),
        ("1e3 kB", 10**6),
        ("94 B", 94),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("94.1 Mbit/s", 94.1e6 / 8),
        ("94.1 Mbps", 94.1e6 / 8),
        ("12 MB/s", 12e6),
        ("1 MiB/s", 2**20),
        ("1 Gbit/s", 1.25e8),
        ("8 bit/s", 1),
    ],
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.3 ms", 0.3e-3), ("5 s", 5), ("200 us", 200e-6), ("200 µs", 200e-6), ("2 min", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (700, "700 has no unit: expected a size with its unit, such as 512 MiB"),
        (1.5, "1.5 has no unit"),
        ("700", "700 has no unit"),
        ("700 mib", "'mib' is not a unit of a size; did you mean 'MiB'?"),
        ("700 furlongs", "'furlongs' is not a unit of a size; expected"),
        ("-1 MiB", "'-1 MiB' is negative"),
        ("MiB", "'MiB' can't be read"),
        ("1,5 GiB", "not a unit"),
        ("1 2 GiB", "can't be read"),
        ("nan GiB", "can't be read"),
        ("1e9999 B", "not a unit"),
        ("", "'' can't be read"),
        (None, "None can't be read"),
        (True, "True can't be read"),
        (["1 GiB"], "can't be read"),
    ],
)
def test_refused_sizes(value: object, message: str) -> None:
    with pytest.raises(ValueError, match="expected a size") as caught:
        parse_bytes(value)
    assert message in str(caught.value)


def test_a_unit_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'ms' is not a unit of a rate"):
        parse_rate("5 ms")


def test_what_no_double_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="too large: expected a duration"):
        parse_seconds("1e999 h")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (format_bytes(160 * 2**20), "160 MiB"),
        (format_bytes(1.5 * 2**30), "1.5 GiB"),
        (format_bytes(0), "0 B"),
        (format_bytes(94), "94 B"),
        (format_rate(94.1e6 / 8), "94.1 Mbit/s"),
        (format_rate(0), "0 bit/s"),
        (format_seconds(0.0003), "300 us"),
        (format_seconds(0.01234), "12.3 ms"),
        (format_seconds(3.332), "3.33 s"),
        (format_seconds(99.97), "100 s"),
        (format_seconds(0), "0 s"),
        (format_seconds(float("inf")), "inf s"),
        (SIZE.write_exactly(512 * 10**6), "512 MB"),
        (SIZE.write_exactly(2**20), "1 MiB"),
        (RATE.write_exactly(94.1e6 / 8), "94.1 Mbit/s"),
        (DURATION.write_exactly(0.5), "0.5 s"),
        (DURATION.write_exactly(0.0), "0 s"),
    ],
)
def test_written(text: str, written: str) -> None:
    assert text == written


@given(st.integers(min_value=0, max_value=10**18))
def test_sizes_written_exactly_are_read_back(size: int) -> None:
    assert parse_bytes(SIZE.write_exactly(size)) == size


@given(finite)
def test_rates_written_exactly_are_read_back(rate: float) -> None:
    assert parse_rate(RATE.write_exactly(rate)) == rate


@given(finite)
def test_durations_written_exactly_are_read_back(seconds: float) -> None:
    assert parse_seconds(DURATION.write_exactly(seconds)) == seconds


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_durations_in_reports_are_off_by_less_than_a_hundredth(seconds: float) -> None:
    assert parse_seconds(format_seconds(seconds)) == pytest.approx(seconds, rel=0.01)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        assert "expected a duration" in str(error)  # noqa: PT017 - either outcome is fine
    else:
        assert seconds >= 0
