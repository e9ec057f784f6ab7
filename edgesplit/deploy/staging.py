"""Bringing a candidate to its devices, beside what runs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from edgesplit.deploy.candidate import Candidate
from edgesplit.deploy.crew import Crew
from edgesplit.deploy.push import push_all
from edgesplit.deploy.record import to_text
from edgesplit.deploy.standing import Standings
from edgesplit.deploy.station import Station
from edgesplit.deploy.steps import Progress, Step

Blobs = Mapping[str, Mapping[str, Path | bytes]]
"""By device, what it must hold: blobs by name."""


def make_keys(crew: Crew, progress: Progress, *, rotate: bool = False) -> dict[str, str]:
    """Return every device's public key, made on first use, or made anew."""
    progress(Step("", "keys"))
    words = ("rotate",) if rotate else ()
    return crew.each(lambda station: str(station.call("keygen", *words)["public"]))


def push(crew: Crew, blobs: Blobs, progress: Progress) -> int:
    """Bring the blobs that devices lack; return the bytes that moved."""
    progress(Step("", "push"))
    moved = push_all(crew, blobs, lambda *told: progress(Step(told[0], "push", *told[1:])))
    return sum(moved.values())


def stage(crew: Crew, candidate: Candidate, before: Standings, progress: Progress) -> None:
    """Write a candidate's releases on its devices, whose blobs are there; nothing runs of it yet.

    Raises:
        EdgesplitError: A device failed.
    """
    text = to_text(candidate.record)
    crew.each(lambda station: _stage(station, candidate, text, before, progress))


def _stage(
    station: Station, candidate: Candidate, text: str, before: Standings, progress: Progress
) -> None:
    name = station.device.name
    order, current = candidate.orders[name], before[name].current
    if current != candidate.releases[name]:
        written = {
            "manifest": asdict(order.manifest),
            "program": order.program.to_json(),
            "record": text,
            "before": current or "",
        }
        station.call("stage", order=written)
    progress(Step(name, "staged"))
