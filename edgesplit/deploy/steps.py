"""The steps of a rollout, as those who watch it are told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

STEPS = (
    "probe",
    "lock",
    "provision",
    "keys",
    "push",
    "staged",
    "start",
    "wait",
    "trial",
    "commit",
    "drain",
    "retire",
    "prune",
    "unlock",
)
"""All steps of a rollout, in order; `retire` is for devices that are dropped."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is begun, on which device where it is on one; `done` of `total` bytes while pushing."""

    device: str
    name: str
    done: int = 0
    total: int = 0


Progress = Callable[[Step], None]
"""Told of every step; called from several threads."""
