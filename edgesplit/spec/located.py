"""YAML files whose every key and value knows its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgesplit.errors import SpecError
from edgesplit.spec import reader
from edgesplit.spec.reader import Mark


@dataclass(frozen=True, slots=True)
class Located:
    """A plain value with the places of its parts.

    `folder` is what relative paths in it refer to; `prefix` leads from the top of the file to
    this value. `slips` are the errors that the reading itself found in the whole file.
    """

    plain: object
    file: str = ""
    folder: Path = field(default_factory=Path)
    prefix: reader.Path = ()
    keys: Mapping[reader.Path, Mark] = field(default_factory=dict)
    values: Mapping[reader.Path, Mark] = field(default_factory=dict)
    slips: tuple[SpecError, ...] = ()

    @classmethod
    def of(cls, source: Located | Mapping[str, object], folder: Path | None = None) -> Located:
        """Return the value as it is where it is located, or a plain mapping without places."""
        if isinstance(source, Located):
            return source
        return cls(dict(source), folder=folder or Path())

    def at(self, *path: str | int) -> Located:
        """Return the value at these keys and indices, without the file's slips.

        Raises:
            KeyError: There is no such value.
        """
        plain = self.plain
        for step in path:
            if not isinstance(plain, dict | list) or not _has(plain, step):
                raise KeyError(step)
            plain = plain[step]  # type: ignore[index]  # _has has checked it.
        return replace(self, plain=plain, prefix=(*self.prefix, *path), slips=())

    def mark(self, path: reader.Path = (), *, key: bool = False) -> Mark | None:
        """Return the place of a value or of its key, or of the nearest thing around it."""
        here = (*self.prefix, *path)
        if key and here in self.keys:
            return self.keys[here]
        nearest = (here[:end] for end in range(len(here), -1, -1))
        return next((self.values[place] for place in nearest if place in self.values), None)

    def where(self, path: reader.Path = (), *, key: bool = False) -> str:
        """Return `file:line:column` of a value or of its key; the file where nothing is known."""
        mark = self.mark(path, key=key)
        return f"{self.file}:{mark.line}:{mark.column}" if mark else self.file


def load_yaml(path: Path) -> Located:
    """Read a YAML file; text that can still be read on is kept as `slips` for `validate`.

    Raises:
        SpecError: There is no such file, it can't be opened, or it is empty, not UTF-8 or not YAML.
    """
    document = _document(_text(path), path)
    return Located(
        plain=document.plain,
        file=str(path),
        folder=path.parent.resolve(),
        keys=document.keys,
        values=document.values,
        slips=tuple(
            SpecError(slip.what, where=_place(path, slip.mark), remedy=slip.remedy)
            for slip in document.slips
        ),
    )


def _has(plain: dict[object, object] | list[object], step: str | int) -> bool:
    if isinstance(plain, list):
        return isinstance(step, int) and 0 <= step < len(plain)
    return step in plain


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        mark = reader.mark_after(data[: error.start].decode())
        raise SpecError(
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            where=_place(path, mark),
            remedy="save the file as UTF-8 text",
        ) from error


def _bytes(path: Path) -> bytes:
    where = str(path)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        remedy = "check the path, or write a first file with `edgesplit init`"
        raise SpecError("there is no such file", where=where, remedy=remedy) from error
    except IsADirectoryError as error:
        raise SpecError("this is a folder", where=where, remedy="name a file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "check the path and its permissions"
        raise SpecError(f"can't be read: {reason}", where=where, remedy=remedy) from error


def _document(text: str, path: Path) -> reader.Document:
    try:
        document = reader.read(text)
    except reader.Unreadable as error:
        remedy = "mend the YAML there or just before (indentation, quotes, brackets, colons)"
        where = _place(path, error.mark)
        raise SpecError(f"this is not valid YAML: {error}", where=where, remedy=remedy) from error
    if document is None or document.plain is None:
        remedy = "start from the file that `edgesplit init` writes"
        raise SpecError("the file says nothing", where=str(path), remedy=remedy)
    return document


def _place(path: Path, mark: Mark) -> str:
    return f"{path}:{mark.line}:{mark.column}"
