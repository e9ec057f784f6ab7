"""Bringing to its end what a controller began that was killed: forward, if it had committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.lineage import Lineage, behind
from edgesplit.deploy.record import Record
from edgesplit.deploy.rollout import start
from edgesplit.deploy.standing import Standing, Standings, look_everywhere, records_of
from edgesplit.deploy.station import Station
from edgesplit.deploy.steps import Step
from edgesplit.deploy.witness import Conduct


def settle(crew: Crew, standings: Standings, lineage: Lineage, conduct: Conduct) -> Standings:
    """Finish an interrupted rollout and return what stands then.

    A release that is current anywhere becomes current wherever it was staged. What it replaced
    drains and stops; a candidate that was never committed stops at once.
    """
    if lineage.latest is not None and _begun(lineage.latest, standings):
        conduct.progress(Step("", "commit"))
        _roll_forward(crew, behind(lineage.latest, standings))
        standings = look_everywhere(crew)
    if not any(standing.leftovers() for standing in standings.values()):
        return standings
    conduct.progress(Step("", "drain"))
    for record in _replaced(crew, standings):
        conduct.witness.drained(record)
    crew.each(lambda station: _tidy(station, standings[station.device.name]))
    return look_everywhere(crew)


def _begun(record: Record, standings: Standings) -> bool:
    """Tell whether a record's releases were made current on some of its devices, not on all."""
    current = {name: standing.current for name, standing in standings.items()}
    flipped = [current[name] == own for name, own in record.programs.items() if name in current]
    return any(flipped) and not all(flipped)


def _roll_forward(crew: Crew, releases: Mapping[str, str]) -> None:
    """Commit where the release is; a device without it gets the next one with the others."""

    def forward(station: Station) -> None:
        release = releases[station.device.name]
        start(station, release)
        station.call("commit", release)

    crew.only(releases).attempt(forward)


def _replaced(crew: Crew, standings: Standings) -> Sequence[Record]:
    """Return the records of releases that still run although another has become current."""
    ended = {
        name: release
        for name, standing in standings.items()
        if (release := _superseded(standing)) is not None
    }
    records = records_of(crew, ended).values()
    return tuple({record.identity: record for record in records}.values())


def _superseded(standing: Standing) -> str | None:
    """Return the release that a later one has replaced; the highest epoch can't have been."""
    ended = (standing.slots[number] for number in standing.leftovers())
    return next((s.release for s in ended if s.epoch and s.epoch < standing.epoch), None)


def _tidy(station: Station, standing: Standing) -> None:
    for slot in standing.leftovers():
        station.call("stop", str(slot))
