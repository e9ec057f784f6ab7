"""What each device does, in a few words: layers, and its blocks, tiles or sums of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from edgesplit.plan.allocation import Share, Stage

_AXES = {1: ("positions",), 2: ("rows", "columns"), 3: ("frames", "rows", "columns")}
"""The spatial axes of a map, by how many it has."""


class _Role(NamedTuple):
    """What a device is to a stage: the same over several stages is told once.

    `kind` is what its `parts` are, in words that go before them; there may be none.
    """

    kind: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Duty:
    """A role in the stages up to number `last`, from the first of `layers` to the last."""

    layers: tuple[str, str]
    last: int
    kind: str
    parts: tuple[tuple[str, ...], tuple[str, ...]]

    def then(self, stage: Stage, number: int, role: _Role) -> _Duty:
        """Return the duty with the role in one stage more."""
        layers = (self.layers[0], stage.layers[-1])
        return replace(self, layers=layers, last=number, parts=(self.parts[0], role.parts))

    def __str__(self) -> str:
        parts = " to ".join(dict.fromkeys(", ".join(part) for part in self.parts))
        return " ".join(filter(None, ["..".join(dict.fromkeys(self.layers)), self.kind, parts]))


def duties(stages: Sequence[Stage], device: str) -> list[str]:
    """Return what a device does, in order of stages; stages in a row with one role are joined.

    Whole layers are named alone; blocks of outputs follow as `[lo:hi]`, tiles as `rows lo:hi`
    where strips cut the map and as `lo:hi x lo:hi` where a grid does, partial sums as
    `inputs [lo:hi]`. Where parts differ from stage to stage, the first and the last are told.
    """
    found: list[_Duty] = []
    for number, stage in enumerate(stages):
        for role in _roles(stage, device):
            before = next((duty for duty in found if _goes_on(duty, number, role)), None)
            if before is None:
                found.append(_first(stage, number, role))
            else:
                found[found.index(before)] = before.then(stage, number, role)
    return [str(duty) for duty in found]


def _first(stage: Stage, number: int, role: _Role) -> _Duty:
    return _Duty((stage.layers[0], stage.layers[-1]), number, role.kind, (role.parts,) * 2)


def _goes_on(duty: _Duty, number: int, role: _Role) -> bool:
    same = (duty.kind, len(duty.parts[0])) == (role.kind, len(role.parts))
    return same and duty.last == number - 1


def _roles(stage: Stage, device: str) -> Iterator[_Role]:
    own = [share for share in stage.shares if share.device == device]
    if own:
        yield _share_role(stage, own)
    if device in stage.parity:
        yield _Role(f"parity {stage.parity.index(device) + 1}/{len(stage.parity)}")
    merged = tuple(_block(share) for share in stage.merge if share.device == device)
    if merged:
        yield _Role("merge", merged)


def _share_role(stage: Stage, own: Sequence[Share]) -> _Role:
    if stage.split == "whole":
        return _Role("")
    if stage.split == "spatial":
        return _tiles(stage, own)
    return _Role("inputs" if stage.split == "input" else "", tuple(map(_block, own)))


def _block(share: Share) -> str:
    return f"[{share.lo}:{share.hi}]"


def _tiles(stage: Stage, own: Sequence[Share]) -> _Role:
    """Return the tiles by the axis that is cut, where only one is; else by all of them."""
    axes = len(own[0].tile)
    cut = [axis for axis in range(axes) if len({share.tile[axis] for share in stage.shares}) > 1]
    shown = cut if len(cut) == 1 else range(axes)
    kind = _AXES.get(axes, ())[cut[0]] if len(cut) == 1 and axes in _AXES else "tile"
    tiles = ((share.tile[axis] for axis in shown) for share in own)
    return _Role(kind, tuple(" x ".join(f"{lo}:{hi}" for lo, hi in tile) for tile in tiles))
