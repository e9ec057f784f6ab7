"""What a Raspberry Pi's firmware says of its power and heat: the bits of `get_throttled`. Pure."""

from __future__ import annotations

_REASONS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT = 16
_NOW = (1 << len(_REASONS)) - 1


def throttled_now(bits: int | None) -> tuple[str, ...]:
    """Return what slows a board down at this moment; nothing where the board doesn't tell."""
    return tuple(name for at, name in enumerate(_REASONS) if (bits or 0) >> at & 1)


def throttled_since_boot(bits: int | None) -> tuple[str, ...]:
    """Return what has slowed a board down at any time since it booted."""
    return throttled_now((bits or 0) >> _SINCE_BOOT)


def throttled_between(before: int | None, later: int | None) -> tuple[str, ...]:
    """Return what slowed a board down at the later moment, or at one since the earlier."""
    now, seen = (later or 0) & _NOW, (later or 0) >> _SINCE_BOOT & ~((before or 0) >> _SINCE_BOOT)
    return throttled_now(now | seen)
