"""Types of the values in a YAML file: how they are read, and how a schema describes them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from edgesplit.spec.boards import BOARDS, GENERIC
from edgesplit.spec.suggest import one_of, shown
from edgesplit.spec.units import DURATION, RATE, SIZE, Quantity, parse_bytes, parse_seconds

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
RESERVED = "gateway"
"""The name that no device may have: it is the source and sink of every request."""

_HOST = re.compile(r"[A-Za-z0-9_\[:][A-Za-z0-9_.:%\[\]-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*")
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]{1,3})?(?:\s*/\s*[0-9]+)?")


def text(value: object) -> str:
    """Return the value where it is text that isn't empty.

    Raises:
        ValueError: It is not.
    """
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(
        f"{shown(value)} can't be used here: expected text (in quotes if it is a number)"
    )


def name(value: object) -> str:
    """Return a name of lower-case letters, digits and hyphens.

    Raises:
        ValueError: It is not such a name.
    """
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    raise ValueError(
        f"{shown(value)} is not a name: expected lower-case letters, digits and hyphens, "
        "beginning with a letter or digit, at most 63"
    )


def device_name(value: object) -> str:
    """Return the name of a device.

    Raises:
        ValueError: It is not a name, or it is reserved.
    """
    if value == RESERVED:
        raise ValueError(f"{RESERVED!r} is reserved for the machine that sends requests")
    return name(value)


def number(value: object) -> float:
    """Return a finite number, also from a fraction such as `1/255`.

    Raises:
        ValueError: It is not one.
    """
    try:
        amount = _number(value)
    except (ValueError, OverflowError, ZeroDivisionError):
        amount = math.nan
    if not math.isfinite(amount):
        raise ValueError(f"{shown(value)} is not a number: expected one such as 0.5 or 1/255")
    return amount


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value.strip()):
        return math.nan
    above, _, below = value.partition("/")
    return float(Fraction(above.strip()) / Fraction(below.strip() or 1))


def positive(value: object) -> float:
    """Return a number above zero.

    Raises:
        ValueError: It is not one.
    """
    amount = number(value)
    if amount <= 0:
        raise ValueError(f"{shown(value)} can't be used here: expected a number above 0")
    return amount


def whole(low: int, high: int) -> Callable[[object], int]:
    """Return a check that a value is a whole number of `[low, high]`."""

    def check(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise ValueError(
            f"{shown(value)} can't be used here: expected a whole number, {low} to {high}"
        )

    return check


def _above_zero(quantity: Quantity, parse: Callable[[object], Any]) -> Callable[[object], Any]:
    def check(value: object) -> Any:  # noqa: ANN401 - bytes are whole, the others are not
        amount = parse(value)
        if not amount:
            raise ValueError(f"{shown(value)} is nothing: {quantity.expected}")
        return amount

    return check


def pace(value: object) -> float | str:
    """Return the pace of a device: a factor of at least 1, or the name of a board.

    Raises:
        ValueError: It is neither.
    """
    boards = tuple(board for board in BOARDS if board != GENERIC)
    if isinstance(value, str):
        return one_of(value, boards, "a board to imitate")
    factor = number(value)
    if factor < 1:
        raise ValueError(f"{shown(value)} would be faster than this machine: expected 1 or more")
    return factor


def host(value: object) -> str:
    """Return a host name, an address, or an alias of the ssh configuration.

    Raises:
        ValueError: It is none; what begins with a hyphen would be an option to ssh.
    """
    if isinstance(value, str) and _HOST.fullmatch(value):
        return value
    raise ValueError(
        f"{shown(value)} is not a host: expected a name or address, such as 192.168.1.11"
    )


def user(value: object) -> str:
    """Return a login name.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str) and _USER.fullmatch(value):
        return value
    raise ValueError(f"{shown(value)} is not a login name: expected one such as pi")


def chosen(known: Iterable[str], what: str) -> Callable[[object], str]:
    """Return a check that a value is one of the known words."""
    names = tuple(known)

    def check(value: object) -> str:
        # The plain value of an unquoted `yes` where another YAML reader was at work.
        word = "yes" if value is True and "yes" in names else value
        if not isinstance(word, str):
            raise ValueError(f"{shown(word)} is not {what}; expected one of: {', '.join(names)}")  # noqa: TRY004 - pydantic gathers ValueErrors
        return one_of(word, names, what)

    return check


def _quantity_schema(quantity: Quantity) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9.].*[A-Za-zµ]$", "examples": [quantity.example]}
    )


NUMBER_SCHEMA = WithJsonSchema({"type": ["number", "string"], "examples": [0.5, "1/255"]})
_NAME_SCHEMA = WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})

Text = Annotated[str, BeforeValidator(text)]
Name = Annotated[str, BeforeValidator(name), _NAME_SCHEMA]
DeviceName = Annotated[str, BeforeValidator(device_name), _NAME_SCHEMA]
Number = Annotated[float, BeforeValidator(number), NUMBER_SCHEMA]
Positive = Annotated[float, BeforeValidator(positive), NUMBER_SCHEMA]
Size = Annotated[int, BeforeValidator(_above_zero(SIZE, parse_bytes)), _quantity_schema(SIZE)]
Rate = Annotated[
    float, BeforeValidator(_above_zero(RATE, RATE.parse_float)), _quantity_schema(RATE)
]
Duration = Annotated[float, BeforeValidator(parse_seconds), _quantity_schema(DURATION)]
Patience = Annotated[
    float, BeforeValidator(_above_zero(DURATION, parse_seconds)), _quantity_schema(DURATION)
]
PortNumber = Annotated[
    int,
    BeforeValidator(whole(1, 65535)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 65535}),
]
Host = Annotated[str, BeforeValidator(host)]
User = Annotated[str, BeforeValidator(user)]
Profile = Annotated[
    str, BeforeValidator(chosen(BOARDS, "a profile")), WithJsonSchema({"enum": list(BOARDS)})
]
Pace = Annotated[float | str, BeforeValidator(pace)]
Connection = Annotated[
    Literal["local", "ssh"], BeforeValidator(chosen(("local", "ssh"), "a way to connect"))
]
HostKeys = Annotated[
    Literal["ask", "yes", "accept-new"],
    BeforeValidator(chosen(("ask", "yes", "accept-new"), "a way to treat host keys")),
]
