"""One change of a locked cluster: bring a candidate where it isn't, and tidy up behind it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from edgesplit.deploy.candidate import Candidate
from edgesplit.deploy.crew import Crew
from edgesplit.deploy.leaving import dismiss, with_leaving
from edgesplit.deploy.lineage import Lineage, behind, next_epoch, trace
from edgesplit.deploy.record import Record
from edgesplit.deploy.rollout import Mode, Rollout, mode_of
from edgesplit.deploy.settling import settle
from edgesplit.deploy.staging import Blobs, push, stage
from edgesplit.deploy.standing import Standings, look_everywhere
from edgesplit.deploy.steps import Step
from edgesplit.deploy.witness import Conduct


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deployment did.

    `changed` are the devices whose executors were started for it, `pushed` the bytes that moved.
    `warnings` are for a person: what went well but may not stay so.
    """

    record: Record
    mode: Mode
    changed: frozenset[str] = frozenset()
    pushed: int = 0
    warnings: tuple[str, ...] = ()


def begin(crew: Crew, known: Record | None, allocation: str | None, conduct: Conduct) -> Changeover:
    """Return the changeover of a locked cluster, once what an earlier one left is settled.

    `known` and `allocation` say what it follows, as for `trace`.
    """
    found = look_everywhere(crew)
    lineage = trace(crew, found, known, allocation)
    standings = settle(crew, found, lineage, conduct)
    return Changeover(crew, standings, lineage, conduct)


@dataclass(frozen=True)
class Changeover:
    """A cluster under our lock, about to run something else.

    Args:
        crew: Its devices.
        standings: What stands on them.
        lineage: What the change follows.
        conduct: Who takes part.
    """

    crew: Crew
    standings: Standings
    lineage: Lineage
    conduct: Conduct

    def next_identity(self) -> tuple[str, int]:
        """Return the cluster id that goes on, or a new one, and its next epoch."""
        latest = self.lineage.latest
        cluster = latest.cluster if latest else secrets.token_hex(8)
        return cluster, next_epoch(latest, self.standings)

    def apply(self, candidate: Candidate, blobs: Blobs) -> Deployed:
        """Make a candidate what every device runs; devices that run it already go on as they are.

        Raises:
            EdgesplitError: It didn't come up; see `Rollout` for what runs then.
        """
        record = with_leaving(candidate.record, self.lineage.ancestors)
        done = self._bring(replace(candidate, record=record), blobs)
        record, warnings = self._dismiss(done.record)
        return replace(done, record=record, warnings=(*warnings, *self._prune()))

    def _bring(self, candidate: Candidate, blobs: Blobs) -> Deployed:
        """Bring a candidate to the devices that don't run it, and keep its record."""
        record, conduct = candidate.record, self.conduct
        missing = behind(record, self.standings)
        if not missing:
            self.conduct.keep(record)
            return Deployed(record, "unchanged")
        crew = self.crew.only(missing)
        before = {name: self.standings[name] for name in missing}
        old = [one for one in self.lineage.running if one.identity != record.identity]
        pushed = push(crew, blobs, conduct.progress)
        stage(crew, candidate, before, conduct.progress)
        mode = mode_of(before, old, candidate)
        rollout = Rollout(crew, candidate, before, old, conduct)
        (rollout.drain_first if mode == "drained" else rollout.roll)()
        mends = not old and any(standing.occupied() for standing in self.standings.values())
        return Deployed(record, "unchanged" if mends else mode, frozenset(missing), pushed)

    def _dismiss(self, record: Record) -> tuple[Record, tuple[str, ...]]:
        """Let devices go that aren't used any more; return the record without them."""
        if not record.leaving:
            return record, ()
        self.conduct.progress(Step("", "retire"))
        record, warnings = dismiss(record, self.conduct.ask)
        self.conduct.keep(record)
        return record, warnings

    def _prune(self) -> tuple[str, ...]:
        """Free what no release needs; a device that can't does no harm."""
        self.conduct.progress(Step("", "prune"))
        _, failures = self.crew.attempt(lambda station: station.call("prune"))
        return tuple(f"{n}: old releases stay there: {e.what}" for n, e in failures.items())
