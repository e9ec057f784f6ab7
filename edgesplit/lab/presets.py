"""Which board each host of a lab stands for, and what that makes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgesplit.cost.profiles import GENERIC, profile
from edgesplit.errors import UsageError
from edgesplit.lab.bed import Shape
from edgesplit.spec.boards import BOARDS
from edgesplit.spec.suggest import did_you_mean
from edgesplit.spec.units import parse_rate

MOST_HOSTS = 200
_DEFAULT_HOSTS = 4
_LEAST_RATE = 1000 / 8
_TC_UNITS = {"": "", "k": "k", "m": "M", "g": "G"}
DEFAULT_PRESET = "raspberry-pi-3b"

WIFI = Shape(rate=45e6 / 8, delay=2e-3, tail=38.1e-3)
"""A wireless link as in figure 1 of *Robustly Executing DNNs in IoT Systems Using Coded Distributed
Computing*: 34 % of the answers are there 100 ms after the request if computing takes 50.

There and back the delay is 4 ms and the sum of two exponential ones of mean m, which is below
46 ms in 1 - (1 + 46/m) exp(-46/m) = 34 % of cases for m = 38.1 ms; in 1 % it is beyond 250 ms.
"""


def presets(written: Sequence[str], devices: int | None) -> tuple[str, ...]:
    """Return the preset of every host, in order.

    `written` are presets as in `raspberry-pi-3b` or `raspberry-pi-3b:8`; one of them may leave out
    how many, and gets the rest of the `devices`.

    Raises:
        UsageError: A preset is unknown, a count is none, or they don't add up to the devices.
    """
    counts = [_counted(text) for text in written] or [(DEFAULT_PRESET, None)]
    told = sum(count for _, count in counts if count is not None)
    open_ended = sum(count is None for _, count in counts)
    rest = (devices or told or _DEFAULT_HOSTS) - told
    fits = rest >= 1 if open_ended == 1 else rest == 0 and not open_ended
    if not fits:
        raise UsageError(
            f"--preset {' --preset '.join(written)} doesn't give {devices or 'a number of'} hosts",
            remedy="write how many of each, as in `--preset raspberry-pi-3b:8`",
        )
    hosts = tuple(name for name, count in counts for _ in range(rest if count is None else count))
    if not 1 <= len(hosts) <= MOST_HOSTS:
        raise UsageError(
            f"a lab of {len(hosts)} hosts can't be made", remedy=f"ask for 1 to {MOST_HOSTS}"
        )
    return hosts


def cpu_share(preset: str) -> float:
    """Return the cores of this machine that compute as much as a board does."""
    return profile(preset).macs_per_second / GENERIC.macs_per_second


def wired(preset: str) -> Shape:
    """Return a board's own wired link."""
    return Shape(rate=BOARDS[preset].link.bandwidth)


def link_rate(text: str) -> float:
    """Return the bytes a second of a rate written as `1 Gbit/s`, or as tc does: `1gbit`.

    Raises:
        UsageError: It is no rate, or none that a link could have.
    """
    match = re.fullmatch(r"([0-9.]+)([kmg]?)bit", text)
    try:
        rate = parse_rate(f"{match[1]} {_TC_UNITS[match[2]]}bit/s" if match else text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if rate < _LEAST_RATE:
        raise UsageError(f"a link of {text} is too slow", remedy="give it 1 kbit/s or more")
    return rate


def _counted(text: str) -> tuple[str, int | None]:
    name, colon, count = text.partition(":")
    if name not in BOARDS:
        hint = did_you_mean(name, BOARDS)
        raise UsageError(
            f"there is no preset {name!r}{hint}", remedy=f"the presets are {', '.join(BOARDS)}"
        )
    if colon and not (count.isdecimal() and int(count)):
        raise UsageError(
            f"{count!r} in --preset {text} is not a number of hosts",
            remedy=f"write it as in `--preset {name}:4`",
        )
    return name, int(count) if colon else None
