"""Deploying an allocation: every device staged before any is changed, and all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgesplit.deploy.candidate import Candidate, compose
from edgesplit.deploy.changeover import Changeover, Deployed, begin
from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.lineage import behind
from edgesplit.deploy.lock import locked
from edgesplit.deploy.preflight import examine, require
from edgesplit.deploy.programs import Generation, Release
from edgesplit.deploy.provision import choose, provision
from edgesplit.deploy.record import Record, known_record, save_record
from edgesplit.deploy.staging import make_keys
from edgesplit.deploy.standing import look_everywhere
from edgesplit.deploy.steps import Progress, Step
from edgesplit.deploy.witness import Conduct, Witness
from edgesplit.spec.cluster import Cluster, Device


@dataclass(frozen=True)
class Wish:
    """What is to run where: a release on a cluster, for gateways with this public key in Z85."""

    release: Release
    cluster: Cluster
    gateway: str

    @property
    def devices(self) -> list[Device]:
        """The devices that have a task."""
        return [self.cluster.device(name) for name in self.release.table.devices]

    def compose(
        self, crew: Crew, identity: tuple[str, int], publics: Mapping[str, str]
    ) -> Candidate:
        """Return the candidate of a cluster id and epoch, with the devices' public keys."""
        generation = Generation(*identity, (self.gateway,), publics)
        return compose(self.release, self.cluster, generation, crew)


def deploy(
    wish: Wish,
    record: Path,
    *,
    witness: Witness,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    rotate_keys: bool = False,
) -> Deployed:
    """Bring an allocation up on its devices; what ran before answers until the new one does.

    Deploying what runs already moves no bytes and restarts nothing. What an earlier deployment
    was killed in the middle of is finished first.

    Args:
        wish: What to deploy, and where.
        record: Where the previous record may lie and the new one goes.
        witness: Sees through gateways whether the new release answers.
        progress: Told of every step.
        ask: Decides on unknown host keys where the cluster file says `host_keys: ask`.
        rotate_keys: Have every device make a new key.

    Raises:
        HostError: A device can't be reached or lacks something; nothing was changed.
        DeployError: Several devices failed, somebody else is at it, or an executor didn't come up.
    """
    known = known_record(record)
    with open_crew(wish.devices, wish.cluster.name, ask) as crew:
        progress(Step("", "probe"))
        notes = require(examine(crew, wish.release))
        outfit = choose(crew, progress)
        if not rotate_keys and (same := running_already(wish, crew, known)):
            witness.ready(same, lambda: None)
            if same != known:
                save_record(same, record)
            return Deployed(same, "unchanged", warnings=notes)
        with locked(crew, progress):
            moved = provision(crew, outfit, progress)
            publics = make_keys(crew, progress, rotate=rotate_keys)
            conduct = Conduct(witness, progress, lambda new: save_record(new, record), ask)
            changeover = begin(crew, known, wish.release.allocation, conduct)
            done = changeover.apply(_candidate(wish, publics, changeover), _blobs(wish.release))
        return replace(done, pushed=moved + done.pushed, warnings=(*notes, *done.warnings))


def running_already(wish: Wish, crew: Crew, known: Record | None) -> Record | None:
    """Return the record of a wish that runs on every device, and None where anything is to do.

    Nothing is changed, so no lock is needed; where somebody has it, there may be more to do.
    """
    if known is None or known.leaving or set(known.peers) != set(crew.stations):
        return None
    publics = {name: peer.public for name, peer in known.peers.items()}
    same = wish.compose(crew, known.identity, publics)
    if same.releases != known.programs:
        return None
    standings = look_everywhere(crew)
    quiet = not any(one.lock or one.leftovers() for one in standings.values())
    return same.record if quiet and not behind(known, standings) else None


def down(
    cluster: Cluster, devices: tuple[str, ...], *, purge: bool = False, ask: Ask | None = None
) -> None:
    """Stop the executors of these devices; `purge` deletes all that edgesplit has there.

    Raises:
        HostError: A device can't be reached; the others were stopped.
        DeployError: Several devices failed, and the others were stopped; or somebody else is at it.
    """
    with open_crew([cluster.device(n) for n in devices], cluster.name, ask) as crew:
        ours, unreachable = crew.attempt(lambda station: station.probe().owned)
        there = crew.only([name for name, owned in ours.items() if owned])
        if there.stations:
            with locked(there, lambda _: None):
                _, failures = there.attempt(lambda station: station.call("stop"))
            if purge:  # The lock goes with the rest.
                _, failures = there.attempt(lambda station: station.call("purge"))
            unreachable |= failures
        crew.refuse(unreachable)


def _candidate(wish: Wish, publics: Mapping[str, str], changeover: Changeover) -> Candidate:
    """Return the latest deployment again where the wish makes the same one, else the next epoch."""
    crew, latest = changeover.crew, changeover.lineage.latest
    if latest is not None and changeover.lineage.ahead:
        same = wish.compose(crew, latest.identity, publics)
        if same.releases == latest.programs:
            return same
    return wish.compose(crew, changeover.next_identity(), publics)


def _blobs(release: Release) -> dict[str, dict[str, Path | bytes]]:
    return {name: release.blobs(name) for name in release.table.devices}
