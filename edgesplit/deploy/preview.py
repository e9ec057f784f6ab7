"""What a deployment would do; nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgesplit.deploy.candidate import Candidate
from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.deployer import Wish
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.leaving import with_leaving
from edgesplit.deploy.lineage import behind, next_epoch
from edgesplit.deploy.preflight import examine, require
from edgesplit.deploy.provision import choose
from edgesplit.deploy.record import Record, known_record
from edgesplit.deploy.rollout import Mode, mode_of
from edgesplit.deploy.standing import Standing, Standings
from edgesplit.deploy.station import Station, nbytes
from edgesplit.deploy.steps import Progress, Step


@dataclass(frozen=True, slots=True)
class Change:
    """What a deployment would do to one device, and the blobs to push and to keep, in bytes.

    `add` begins there, `change` replaces what runs, `keep` restarts nothing, `drop` stops it.
    """

    device: str
    action: Literal["add", "change", "keep", "drop"]
    push: Mapping[str, int]
    keep: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Preview:
    """How a deployment would take over, and what it would do to each device."""

    mode: Mode
    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()


def preview(
    wish: Wish,
    record: Path,
    *,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    rotate_keys: bool = False,
) -> Preview:
    """Return what `deploy` would do.

    Raises:
        HostError: A device can't be reached or lacks something.
        DeployError: Several devices failed.
    """
    known = known_record(record)
    with open_crew(wish.devices, wish.cluster.name, ask) as crew:
        progress(Step("", "probe"))
        notes = require(examine(crew, wish.release))
        choose(crew, progress)
        standings = _glance(crew)
        candidate = _candidate(wish, crew, known, standings, anew=rotate_keys)
        todo = behind(candidate.record, standings)
        old = [known] if known and known.identity != candidate.record.identity else []
        changes = [_change(s, wish, known, standings, todo) for s in crew.stations.values()]
        mode = mode_of({n: standings[n] for n in todo}, old, candidate) if todo else "unchanged"
    gone = with_leaving(candidate.record, [known] if known else []).left.devices
    dropped = (Change(device.name, "drop", {}, {}) for device in gone)
    return Preview(mode, (*changes, *dropped), notes)


def _glance(crew: Crew) -> Standings:
    """Ask what stands on the devices; one that can't tell runs nothing that we know of."""
    standings, _ = crew.attempt(lambda station: Standing.of(station.call("state")))
    return {name: standings.get(name, Standing(None, 0, None, ())) for name in crew.stations}


def _candidate(
    wish: Wish, crew: Crew, known: Record | None, standings: Standings, *, anew: bool
) -> Candidate:
    """Return what would be deployed, but for keys that are still to be made."""
    peers = known.peers if known else {}
    publics = {name: peers[name].public if name in peers else "" for name in crew.stations}
    if known is not None and not anew:
        same = wish.compose(crew, known.identity, publics)
        if same.releases == known.programs:
            return same
    cluster = known.cluster if known else ""
    return wish.compose(crew, (cluster, next_epoch(known, standings)), publics)


def _change(
    station: Station,
    wish: Wish,
    known: Record | None,
    standings: Standings,
    todo: Mapping[str, str],
) -> Change:
    name = station.device.name
    blobs = wish.release.blobs(name)
    sizes = {blob: nbytes(source) for blob, source in blobs.items()}
    lacking = frozenset(station.lacking(blobs))
    push = {blob: size for blob, size in sizes.items() if blob in lacking}
    keep = {blob: size for blob, size in sizes.items() if blob not in lacking}
    if name not in todo:
        return Change(name, "keep", push, keep)
    there = standings[name].current is not None or (known is not None and name in known.programs)
    return Change(name, "change" if there else "add", push, keep)
