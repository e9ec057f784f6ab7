"""YAML text to plain values and their positions, by a parser that constructs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAG = "tag:yaml.org,2002:str"
_MOST_NODES = 200_000  # Far above any real file; stops aliases that multiply.
_DEEPEST = 50

# The words of YAML 1.2, so that `yes`, `on`, `12:30` and `2026-01-01` stay text; and only numbers
# that YAML 1.1 takes for decimal ones too, so that text which a dumper of either version leaves
# unquoted (12e4 or 089, in a digest) stays text.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]{1,3})?")
_WORDS = {
    word: value
    for words, value in (
        (("", "~", "null", "Null", "NULL"), None),
        (("true", "True", "TRUE"), True),
        (("false", "False", "FALSE"), False),
    )
    for word in words
}

Path = tuple[str | int, ...]
"""Keys and indices that lead from the top of a file to a value."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a text: line and column, both from 1."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: Any) -> Mark:  # noqa: ANN401 - the two YAML parsers have a mark class each
        """Return the place of a YAML parser's mark, which counts from 0."""
        return cls(mark.line + 1, mark.column + 1)


@dataclass(frozen=True, slots=True)
class Slip:
    """Something wrong in the text that did not stop the reading."""

    mark: Mark
    what: str
    remedy: str


@dataclass(slots=True)
class Document:
    """What a YAML text says, where each key and value stands, and the slips in it."""

    plain: object = None
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    slips: list[Slip] = field(default_factory=list)


class Unreadable(Exception):
    """The text can't be read any further than `mark`."""

    def __init__(self, what: str, mark: Mark) -> None:
        super().__init__(what)
        self.mark = mark


def read(text: str) -> Document | None:
    """Return the one document of a YAML text, or None where there is none.

    Raises:
        Unreadable: The text is not YAML, holds several documents, or is nested or repeated
            beyond measure.
    """
    try:
        return _Reading(yaml.parse(text, Loader=_PARSER)).document()
    except yaml.MarkedYAMLError as error:
        context = f" {error.context}" if error.context else ""
        raise Unreadable(f"{error.problem}{context}", _error_mark(error)) from error
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore")
        raise Unreadable(error.reason, mark_after(before)) from error


def mark_after(before: str) -> Mark:
    """Return the place that follows this beginning of a text."""
    lines = before.split("\n")
    return Mark(len(lines), len(lines[-1]) + 1)


def _error_mark(error: yaml.MarkedYAMLError) -> Mark:
    mark = error.problem_mark or error.context_mark
    return Mark.of(mark) if mark else Mark(1, 1)


class _Reading:
    """One pass over the parser's events."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._out = Document()
        self._nodes = 0
        self._anchors: dict[str, tuple[object, int]] = {}

    def document(self) -> Document | None:
        next(self._events)  # The stream's start.
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        self._out.plain = self._value(next(self._events), ())
        next(self._events)  # The document's end.
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise Unreadable("a second document begins", Mark.of(after.start_mark))
        return self._out

    def _value(self, event: Any, path: Path) -> object:  # noqa: ANN401 - PyYAML's event classes
        self._out.values.setdefault(path, Mark.of(event.start_mark))
        before = self._nodes
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count(1, event, len(path))
        self._check_tag(event)
        value = self._collection(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _collection(self, event: Any, path: Path) -> object:  # noqa: ANN401
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return event.value if _quoted(event) else _scalar(event.value)

    def _mapping(self, path: Path) -> dict[str, object]:
        entries: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            mark = Mark.of(event.start_mark)
            if (key := self._key(event, path)) is None:
                continue
            here = (*path, key)
            value = self._value(next(self._events), here)
            if key in entries:
                first = self._out.keys[here]
                self._slip(mark, f"{key!r} is here twice, first on line {first.line}", "keep one")
            else:
                entries[key] = value
                self._out.keys.setdefault(here, mark)
        return entries

    def _key(self, event: Any, path: Path) -> str | None:  # noqa: ANN401
        """Return the key's text, whatever it would mean as a value: `1` and `on` are names.

        None where the key is no text; it is read over then, and its value with it.
        """
        if isinstance(event, yaml.ScalarEvent):
            self._check_tag(event)
            return str(event.value)
        mark = Mark.of(event.start_mark)
        self._slip(mark, "a key is not text", "write the key as plain text")
        self._value(event, (*path, "?"))
        self._value(next(self._events), (*path, "?"))
        return None

    def _sequence(self, path: Path) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _alias(self, event: Any) -> object:  # noqa: ANN401
        if event.anchor not in self._anchors:
            raise Unreadable(f"*{event.anchor} has no anchor before it", Mark.of(event.start_mark))
        value, nodes = self._anchors[event.anchor]
        self._count(nodes, event, 0)
        return value

    def _count(self, nodes: int, event: Any, depth: int) -> None:  # noqa: ANN401
        self._nodes += nodes
        if self._nodes > _MOST_NODES or depth > _DEEPEST:
            raise Unreadable("nested or repeated too much", Mark.of(event.start_mark))

    def _check_tag(self, event: Any) -> None:  # noqa: ANN401
        if event.tag not in (None, "!", _TEXT_TAG):
            mark = Mark.of(event.start_mark)
            self._slip(mark, f"the tag {event.tag!r} is not allowed", "leave the tag out")

    def _slip(self, mark: Mark, what: str, remedy: str) -> None:
        self._out.slips.append(Slip(mark, what, remedy))


def _quoted(event: Any) -> bool:  # noqa: ANN401
    return event.tag is not None or not event.implicit[0]


def _scalar(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
