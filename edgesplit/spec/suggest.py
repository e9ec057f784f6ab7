"""Words of messages: values shown short, and what a mistyped word was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 60


def shown(value: object) -> str:
    """Return the value as a message shows it: quoted where it is text, cut where it is long."""
    words = repr(value)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean '...'?`, or the empty text where nothing known is close."""
    by_folded = {name.casefold(): name for name in reversed(list(known))}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""


def one_of(word: str, known: Iterable[str], what: str) -> str:
    """Return the word where it is known.

    Raises:
        ValueError: It is not; the message lists what is known and suggests the closest.
    """
    names = tuple(known)
    if word in names:
        return word
    hint = did_you_mean(word, names)
    raise ValueError(
        f"{shown(word)} is not {what}{hint or ';'} expected one of: {', '.join(names)}"
    )
