"""Quantities as people write them: sizes, rates and durations, always with their unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

from edgesplit.spec.suggest import did_you_mean, shown

_AMOUNT = re.compile(
    r"(?P<amount>[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?)"
    r"\s*(?P<unit>[^\s0-9.+-].*)?"
)
_EXACT_DIGITS = 20  # Tells any two doubles apart, with room for the unit's scale.


@dataclass(frozen=True, slots=True)
class Quantity:
    """A kind of quantity: its name and an example for messages, and its units.

    `units` maps every unit that is read to its size in base units; `written` are those used for
    writing, the largest first; `also` may be used where they write a value shorter; `base` is the
    one in which nothing is written.
    """

    name: str
    example: str
    units: Mapping[str, Fraction]
    written: tuple[str, ...]
    base: str
    also: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What a message says was expected."""
        return f"expected {self.name} with its unit, such as {self.example}"

    def parse(self, value: object) -> Fraction:
        """Return the amount in base units, exactly.

        Raises:
            ValueError: It is no number with a unit of this kind, or it is negative; the message
                names the value and what was expected.
        """
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit: {self.expected}")  # noqa: TRY004 - one kind for callers
        match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{shown(value)} can't be read: {self.expected}")
        if match["unit"] is None:
            raise ValueError(f"{match['amount']} has no unit: {self.expected}")
        amount = Fraction(match["amount"]) * self._size(match["unit"])
        if amount < 0:
            raise ValueError(f"{shown(value)} is negative: {self.expected}")
        return amount

    def parse_float(self, value: object) -> float:
        """Return the amount in base units as the nearest double.

        Raises:
            ValueError: As `parse`; or it is larger than any double.
        """
        amount = self.parse(value)
        try:
            return float(amount)
        except OverflowError:
            raise ValueError(f"{shown(value)} is too large: {self.expected}") from None

    def write(self, value: float) -> str:
        """Return the amount to about three digits, for reports."""
        if not value:
            return f"0 {self.base}"
        sizes = [(unit, float(self.units[unit])) for unit in self.written]
        unit, size = next((pair for pair in sizes if abs(value) >= pair[1]), sizes[-1])
        return f"{_rounded(value / size)} {unit}"

    def write_exactly(self, value: float) -> str:
        """Return the shortest text from which the value is read back exactly."""
        if not value:
            return f"0 {self.base}"
        texts = [self._exact_text(value, unit) for unit in (*self.written, *self.also)]
        # Of equally short texts, one whose amount doesn't begin with a zero reads best.
        return min(texts, key=lambda text: (len(text), text.startswith("0.")))

    def _exact_text(self, value: float, unit: str) -> str:
        amount = Fraction(value) / self.units[unit]
        texts = (f"{_digits(amount, count)} {unit}" for count in range(1, _EXACT_DIGITS + 1))
        back = round if isinstance(value, int) else float
        return next(text for text in texts if back(self.parse(text)) == value)

    def _size(self, unit: str) -> Fraction:
        if unit not in self.units:
            hint = did_you_mean(unit, self.units) or ";"
            raise ValueError(f"{shown(unit)} is not a unit of {self.name}{hint} {self.expected}")
        return self.units[unit]


def _digits(amount: Fraction, count: int) -> str:
    with localcontext(prec=count):
        value = Decimal(amount.numerator) / Decimal(amount.denominator)
    readable = -6 <= value.adjusted() < _EXACT_DIGITS
    return format(value.normalize(), "f") if readable else str(value)


def _rounded(amount: float) -> str:
    decimals = 2 if abs(amount) < 9.995 else 1 if abs(amount) < 99.95 else 0
    text = f"{amount:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _powers(step: int, names: tuple[str, ...]) -> dict[str, Fraction]:
    return {name: Fraction(step) ** power for power, name in enumerate(names)}


_DECIMAL = ("B", "kB", "MB", "GB", "TB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_BYTES = _powers(1000, _DECIMAL) | _powers(1024, _BINARY)
_BITS = {
    name: size / 8
    for names in (
        ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"),
        ("bps", "kbps", "Mbps", "Gbps", "Tbps"),
    )
    for name, size in _powers(1000, names).items()
}

SIZE = Quantity("a size", "512 MiB", _BYTES, tuple(reversed(_BINARY)), "B", ("GB", "MB"))
RATE = Quantity(
    "a rate",
    "94.1 Mbit/s",
    _BITS | {f"{unit}/s": size for unit, size in _BYTES.items()},
    ("Gbit/s", "Mbit/s", "kbit/s", "bit/s"),
    "bit/s",
)
DURATION = Quantity(
    "a duration",
    "0.3 ms",
    {
        "h": Fraction(3600),
        "min": Fraction(60),
        "s": Fraction(1),
        "ms": Fraction(1, 10**3),
        "us": Fraction(1, 10**6),
        "µs": Fraction(1, 10**6),
        "μs": Fraction(1, 10**6),  # The Greek letter: some keyboards have only that.
        "ns": Fraction(1, 10**9),
    },
    ("s", "ms", "us", "ns"),
    "s",
)


def parse_bytes(value: object) -> int:
    """Return the bytes of a size such as `160 MiB`, `1.5 GiB` or `512 MB`, rounded to whole ones.

    Raises:
        ValueError: It is not a size with its unit.
    """
    return round(SIZE.parse(value))


def parse_rate(value: object) -> float:
    """Return the bytes per second of a rate such as `94.1 Mbit/s` or `12 MB/s`.

    Raises:
        ValueError: It is not a rate with its unit.
    """
    return RATE.parse_float(value)


def parse_seconds(value: object) -> float:
    """Return the seconds of a duration such as `0.3 ms`, `5 s` or `200 us`.

    Raises:
        ValueError: It is not a duration with its unit.
    """
    return DURATION.parse_float(value)


def format_bytes(value: float) -> str:
    """Return a size in bytes to about three digits: `160 MiB`."""
    return SIZE.write(value)


def format_rate(value: float) -> str:
    """Return a rate in bytes per second to about three digits, in bits: `94.1 Mbit/s`."""
    return RATE.write(value)


def format_seconds(value: float) -> str:
    """Return a duration in seconds to about three digits: `0.3 s`, `12.5 ms`."""
    return DURATION.write(value)
