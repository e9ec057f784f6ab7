"""From one release to the next: the candidate proves itself beside the old, then all flip at once.

Where devices can't hold both, the old one drains and stops before the new one starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from edgesplit.deploy.blame import explain
from edgesplit.deploy.candidate import Candidate
from edgesplit.deploy.crew import Crew
from edgesplit.deploy.record import Record
from edgesplit.deploy.standing import Standing, Standings, look
from edgesplit.deploy.station import Station
from edgesplit.deploy.steps import Step
from edgesplit.deploy.unit import unit_text
from edgesplit.deploy.witness import Conduct
from edgesplit.errors import DeployError, EdgesplitError
from edgesplit.plan.overlap import excesses

Mode = Literal["unchanged", "first", "rolled", "drained"]
"""Nothing ran before; both ran side by side; the old one had to end before the new one began."""

_COMMITS = 3


def mode_of(before: Standings, old: Sequence[Record], candidate: Candidate) -> Mode:
    """Return how a candidate takes over from what stands on its devices.

    Args:
        before: What stands there.
        old: The records of what runs there.
        candidate: What is to come.
    """
    if not any(standing.occupied() for standing in before.values()):
        return "first"
    if any(_in_the_way(before[name], candidate, name) for name in before):
        return "drained"
    return "drained" if any(crowded(one, candidate.record) for one in old) else "rolled"


def crowded(old: Record, new: Record) -> bool:
    """Tell whether a device of the new release can't hold the old one beside it."""
    return bool(excesses(_beside(old, new), new.memory, new.devices))


def _beside(old: Record, new: Record) -> dict[str, int]:
    """Return the memory of a release beside another: what both map from one file is there once."""
    return {
        device: needed - (_mapped(old, device) if _same_shards(old, new, device) else 0)
        for device, needed in old.memory.items()
    }


def _mapped(record: Record, device: str) -> int:
    return record.mapped.get(device, 0)


def _same_shards(old: Record, new: Record, device: str) -> bool:
    shards = [{task.shard for task in one.table.tasks_of(device)} for one in (old, new)]
    return shards[0] == shards[1]


def _in_the_way(standing: Standing, candidate: Candidate, device: str) -> bool:
    """Tell whether another release serves in the slot that the candidate needs."""
    other = standing.current != candidate.releases[device]
    return other and standing.slot_with(standing.current) == candidate.slot


@dataclass(frozen=True)
class Rollout:
    """A staged candidate on its way to become what runs.

    Args:
        crew: The devices of the candidate.
        candidate: What is staged.
        before: What stood on the devices.
        old: The records of what runs there.
        conduct: Who takes part.
    """

    crew: Crew
    candidate: Candidate
    before: Standings
    old: Sequence[Record]
    conduct: Conduct

    def roll(self) -> None:
        """Start beside what runs, prove, commit on all, and let the old one drain.

        Raises:
            DeployError: The candidate didn't come up and is stopped, nothing else has changed; or
                it was committed on some devices only, and the next deploy goes on from there.
        """
        with self._abandoning():
            self._start()
            self._prove()
            self._commit()
        self.conduct.keep(self.candidate.record)
        self._drain()
        self._stop_old()

    def drain_first(self) -> None:
        """Commit, let gateways hold their new requests, end the old one, and start the new one.

        Raises:
            DeployError: The candidate didn't come up; the old release runs again.
        """
        with self._reverting():
            self._commit()
            self._drain()
            self._stop_old()
            self._start()
            self._prove()
        self.conduct.keep(self.candidate.record)

    def _start(self) -> None:
        self._tell("start")
        self.crew.each(lambda station: start(station, self._release(station)), settled=True)

    def _prove(self) -> None:
        self._tell("wait")
        self.conduct.witness.ready(self.candidate.record, self._check)
        self._tell("trial")
        self.conduct.witness.trial(self.candidate.record, self._check)

    def _check(self) -> None:
        """Raise where a candidate's executor ended, for good or to restart."""
        standings, _ = self.crew.attempt(look)
        for name, standing in standings.items():
            slot = standing.slots[self.candidate.slot]
            if not slot.running or slot.restarts:
                raise DeployError(f"it ended with {slot.last_exit}", where=name)

    def _commit(self) -> None:
        """Flip every device, as often as it takes; nobody goes back once one has flipped."""
        self._tell("commit")
        left = self.crew
        for _ in range(_COMMITS):
            _, failures = left.attempt(lambda s: s.call("commit", self._release(s)), settled=True)
            if not failures:
                return
            left = self.crew.only(failures)
        raise DeployError(
            f"it was not committed on {', '.join(failures)}: {next(iter(failures.values())).what}",
            where=min(failures),
            remedy="deploy again: it goes on from there",
        )

    def _drain(self) -> None:
        """Wait until no request is open on what ran before; it can't be helped where one stays."""
        self._tell("drain")
        for record in self.old:
            self.conduct.witness.drained(record)

    def _stop_old(self) -> None:
        """Stop what ran before; where a device can't, its executor ends itself before long."""
        self.crew.attempt(self._stop_leftovers)

    def _stop_leftovers(self, station: Station) -> None:
        slot = 1 - self.candidate.slot
        if self.before[station.device.name].slots[slot].supervised:
            station.call("stop", str(slot))

    @contextmanager
    def _abandoning(self) -> Iterator[None]:
        """Stop the candidate whenever the body fails or is interrupted before a device flipped.

        Raises:
            DeployError: In place of an EdgesplitError: which device, and its last words.
        """
        try:
            yield
        except EdgesplitError as error:
            if self._flipped():
                raise
            explained = explain(self.crew, self.candidate, error)
            self._stop_candidate()
            raise explained from error
        except BaseException:
            if not self._flipped():
                self._stop_candidate()
            raise

    @contextmanager
    def _reverting(self) -> Iterator[None]:
        """Bring back what ran before whenever the body fails or is interrupted; raises as above."""
        try:
            yield
        except EdgesplitError as error:
            explained = explain(self.crew, self.candidate, error)
            self._revert()
            raise explained from error
        except BaseException:
            self._revert()
            raise

    def _flipped(self) -> bool:
        """Tell whether a device is known to have flipped: then there is no way back."""
        standings, _ = self.crew.attempt(look)
        return any(
            standing.current == self.candidate.releases[name] != self.before[name].current
            for name, standing in standings.items()
        )

    def _stop_candidate(self) -> None:
        self.crew.attempt(self._stop_one)

    def _stop_one(self, station: Station) -> None:
        """Stop a candidate's executor, unless it was supervised before we came."""
        if self.before[station.device.name].slot_with(self._release(station)) is None:
            station.call("stop", str(self.candidate.slot))

    def _revert(self) -> None:
        self._stop_candidate()
        self.crew.attempt(self._reinstate)

    def _reinstate(self, station: Station) -> None:
        earlier = self.before[station.device.name].current
        if earlier is None:
            station.call("retire")
            return
        station.call("commit", earlier)
        start(station, earlier)

    def _release(self, station: Station) -> str:
        return self.candidate.releases[station.device.name]

    def _tell(self, name: str) -> None:
        self.conduct.progress(Step("", name))


def start(station: Station, release: str) -> None:
    """Have a device run a staged release in its slot."""
    station.call("start", release, order={"unit": unit_text(station.device)})
