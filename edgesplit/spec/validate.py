"""Pydantic at the edge: sections of a YAML file, checked, with every error in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from edgesplit.errors import SpecError, SpecErrors
from edgesplit.spec.located import Located
from edgesplit.spec.reader import Path
from edgesplit.spec.suggest import did_you_mean, shown


class Section(BaseModel):
    """A mapping of a YAML file. A key without a value is as if it weren't there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: object) -> object:
        if data is None:
            return {}
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data

    def said(self) -> dict[str, Any]:
        """Return the values that the file gives, parsed, without defaults."""
        return {name: getattr(self, name) for name in self.model_fields_set}


SectionT = TypeVar("SectionT", bound=Section)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one part of a section; `on_key` points at its key, not its value."""

    path: Path
    what: str
    remedy: str = ""
    on_key: bool = False


def wrong(at: str, what: str) -> PydanticCustomError:
    """Return the error of a section's validator that blames its key `at`; to be raised."""
    return PydanticCustomError("spec", "{what}", {"what": what, "at": at})


def examine(model: type[SectionT], plain: object) -> tuple[SectionT | None, tuple[Finding, ...]]:
    """Return the section, or None and all that is wrong with it."""
    try:
        return model.model_validate(plain), ()
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, tuple(_finding(model, detail) for detail in details)


def validate(model: type[SectionT], located: Located) -> SectionT:
    """Return the section that a located value says.

    Raises:
        SpecErrors: All that is wrong with it, the slips of its file included.
    """
    section, findings = examine(model, located.plain)
    refuse(located, findings)
    assert section is not None, "a section without findings is valid"  # noqa: S101
    return section


def refuse(located: Located, findings: Iterable[Finding]) -> None:
    """Do nothing where there are neither findings nor slips.

    Raises:
        SpecErrors: One error per finding and slip, in the order of the file.
    """
    placed = sorted(findings, key=lambda f: _order(located, f))
    errors = (*located.slips, *(_error(located, finding) for finding in placed))
    if errors:
        raise SpecErrors(errors)


def dotted(path: Path) -> str:
    """Return `devices.pi1.link` for a path, `input.mean[0]` for an item of a list."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def _order(located: Located, finding: Finding) -> tuple[int, int]:
    mark = located.mark(finding.path, key=finding.on_key)
    return (mark.line, mark.column) if mark else (0, 0)


def _error(located: Located, finding: Finding) -> SpecError:
    where = located.where(finding.path, key=finding.on_key)
    return SpecError(finding.what, where=where, remedy=finding.remedy)


def _finding(model: type[Section], detail: ErrorDetails) -> Finding:
    path = tuple(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _unknown_key(model, path)
    if detail["type"] == "missing":
        around = f" of {dotted(path[:-1])}" if path[:-1] else ""
        what = f"{path[-1]!r}{around} is missing"
        return Finding(path, what, f"add `{path[-1]}:`", on_key=True)
    if path[-1:] == ("[key]",):
        return Finding(path[:-1], _reason(detail), on_key=True)
    path = (*path, *filter(None, [detail.get("ctx", {}).get("at")]))
    prefix = f"{dotted(path)}: " if path else ""
    return Finding(path, f"{prefix}{_reason(detail)}")


def _unknown_key(model: type[Section], path: Path) -> Finding:
    known = tuple(_section_at(model, path[:-1]).model_fields)
    around = f" of {dotted(path[:-1])}" if path[:-1] else ""
    hint = did_you_mean(str(path[-1]), known)
    remedy = f"use one of: {', '.join(known)}"
    return Finding(path, f"{path[-1]!r} is not a key{around}{hint}", remedy, on_key=True)


def _reason(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if "error" in context:
        return str(context["error"])
    expected = {
        "model_type": "a mapping of keys to values",
        "dict_type": "a mapping of names to values",
        "tuple_type": "a list",
    }.get(detail["type"])
    if expected is None:
        return detail["msg"]
    return f"{shown(detail['input'])} can't be used here: expected {expected}"


def _section_at(model: type[Section], path: Path) -> type[Section]:
    """Return the section class that a path leads to; steps to a name or an index are skipped."""
    steps = iter(path)
    for step in steps:
        annotation = model.model_fields[str(step)].annotation
        if get_origin(annotation) in {dict, tuple}:
            next(steps)
        model = _section_in(annotation) or model
    return model


def _section_in(annotation: object) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inner = (_section_in(argument) for argument in get_args(annotation))
    return next(filter(None, inner), None)
