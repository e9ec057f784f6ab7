"""Which deployment a new one follows: by the record at hand, and by those on the devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.programs import slot_of
from edgesplit.deploy.record import Record
from edgesplit.deploy.standing import Standings, records_of


@dataclass(frozen=True)
class Lineage:
    """What a new deployment follows.

    `known` is the record at hand, `latest` the newest of the same cluster id, whose epochs it
    counts on; `running` are the records of what devices have as their current release, each once.
    """

    known: Record | None
    latest: Record | None
    running: tuple[Record, ...]

    @property
    def ancestors(self) -> tuple[Record, ...]:
        """The records of the same cluster id that went before, as far as they are known."""
        return tuple(record for record in (self.latest, self.known) if record is not None)

    @property
    def ahead(self) -> bool:
        """Whether the latest record is the last word on all devices, and none of them foreign."""
        latest = self.latest
        return latest is not None and all(r.epoch <= latest.epoch for r in self.running)


def trace(
    crew: Crew, standings: Standings, known: Record | None, allocation: str | None
) -> Lineage:
    """Return what a deployment of an allocation follows.

    A controller may have ended between its commit and its record. Devices then know a later record
    of the same cluster id than the one at hand. Without one at hand, theirs counts if it is of the
    same allocation; otherwise a new cluster begins.

    Args:
        crew: The devices.
        standings: What stands on them.
        known: The record beside the allocation, None where there is none that can be read.
        allocation: The SHA-256 of the allocation file.
    """
    unexplained = {
        name: standing.current
        for name, standing in standings.items()
        if standing.current and not (known and known.programs.get(name) == standing.current)
    }
    found = records_of(crew, unexplained)
    explained = any(s.current for n, s in standings.items() if n not in unexplained)
    running = [*found.values(), *([known] if known and explained else [])]
    kin = [record for record in found.values() if _kin(record, known, allocation)]
    latest = max([*kin, *([known] if known else [])], key=lambda r: r.epoch, default=None)
    return Lineage(known, latest, tuple(_distinct(running)))


def next_epoch(latest: Record | None, standings: Standings) -> int:
    """Return an epoch after all that are known, in a slot that nothing current runs in if possible.

    Without one that is possible everywhere, the old releases have to end first.
    """
    known = [standing.epoch for standing in standings.values()]
    epoch = 1 + max([*known, latest.epoch if latest else 0])
    taken = {standing.slot_with(standing.current) for standing in standings.values()}
    return epoch + (slot_of(epoch) in taken and slot_of(epoch + 1) not in taken)


def behind(record: Record, standings: Standings) -> Mapping[str, str]:
    """Return the releases of a record that aren't what runs and boots, by device."""
    return {
        name: record.programs[name]
        for name, standing in standings.items()
        if name in record.programs and not standing.serves(record.programs[name])
    }


def _kin(record: Record, known: Record | None, allocation: str | None) -> bool:
    return record.cluster == known.cluster if known else record.allocation == allocation


def _distinct(records: Iterable[Record]) -> Iterable[Record]:
    return {record.identity: record for record in records}.values()
