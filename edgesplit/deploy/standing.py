"""What stands on the devices: what each runs in its two slots, and which deployment that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.record import Record, parse_record
from edgesplit.deploy.station import Station
from edgesplit.errors import DeployError


@dataclass(frozen=True, slots=True)
class Slot:
    """One of a device's two places for a release.

    `executor` is the process's id and start; `last_exit` an exit code, negative for a signal.
    """

    release: str | None
    epoch: int
    supervised: bool
    running: bool
    status: str
    held: bool
    executor: Mapping[str, int] | None
    restarts: int
    last_exit: int | None


_EMPTY = Slot(None, 0, False, False, "stopped", False, None, 0, None)  # noqa: FBT003 - as named


@dataclass(frozen=True, slots=True)
class Standing:
    """What a device answers to `state`; `epoch` is the highest of any release that it holds."""

    current: str | None
    epoch: int
    lock: Mapping[str, Any] | None
    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Standing:
        """Read the answer of the verb `state`."""
        slots = answer["slots"]
        told = [slots[number] for number in sorted(slots)]
        return cls(answer["current"], answer["epoch"], answer["lock"], tuple(map(_slot, told)))

    def slot_with(self, release: str | None) -> int | None:
        """Return the slot in which a release is supervised, None where it is in none."""
        return next((n for n in self.occupied() if self.slots[n].release == release), None)

    @property
    def own(self) -> Slot:
        """The slot of the current release, running or not; an empty one without one."""
        mine = (slot for slot in self.slots if slot.release and slot.release == self.current)
        return next(mine, _EMPTY)

    def serves(self, release: str) -> bool:
        """Tell whether a release is the current one and runs."""
        slot = self.slot_with(release)
        return self.current == release and slot is not None and self.slots[slot].running

    def occupied(self) -> tuple[int, ...]:
        """Return the slots with a supervisor."""
        return tuple(number for number, slot in enumerate(self.slots) if slot.supervised)

    def leftovers(self) -> tuple[int, ...]:
        """Return the slots that run another release than the current one."""
        return tuple(n for n in self.occupied() if self.slots[n].release != self.current)


Standings = Mapping[str, Standing]
"""Standings by device name."""


def _slot(told: Mapping[str, Any]) -> Slot:
    return Slot(**{one.name: told[one.name] for one in fields(Slot)})


def look(station: Station) -> Standing:
    """Ask a device what stands there; edgesplit's code goes there first where it isn't."""
    station.bootstrap()
    return Standing.of(station.call("state"))


def look_everywhere(crew: Crew) -> Standings:
    """Ask all devices what stands there.

    Raises:
        EdgesplitError: A device can't tell.
    """
    return crew.each(look)


def records_of(crew: Crew, releases: Mapping[str, str]) -> dict[str, Record]:
    """Return the records that came with releases, by device; what can't be read is left out."""
    told, _ = crew.only(releases).attempt(
        lambda s: s.call("describe", releases[s.device.name])["record"]
    )
    found = {}
    for name, text in told.items():
        try:
            found[name] = parse_record(text)
        except DeployError:
            continue  # Of a release from before records travelled; the device goes on all the same.
    return found
