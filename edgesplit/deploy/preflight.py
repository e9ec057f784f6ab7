"""The look at all devices before anything is changed: what is missing, wrong or worth knowing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.findings import Finding, Level, Wanted, judge
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.probe import Blind, Probe
from edgesplit.deploy.programs import Release
from edgesplit.deploy.station import Station, nbytes
from edgesplit.errors import DeployError, EdgesplitError, HostError
from edgesplit.spec.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Checkup:
    """One device: what it says of itself, and what that means.

    `seen` is None where it can't be reached, or has no Python that could look around.
    """

    device: str
    seen: Probe | None
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The level of what matters most."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in reversed(Level) if level in levels), Level.OK)

    def at(self, level: Level) -> tuple[Finding, ...]:
        """Return the findings of one level."""
        return tuple(finding for finding in self.findings if finding.level is level)


def examine(crew: Crew, release: Release | None = None) -> tuple[Checkup, ...]:
    """Look at every device at once, thoroughly, and change nothing.

    A device that can't be reached is a finding too, and hides no other's. With a release, its
    bytes and its memory count; without, the memory that the cluster file gives each device.
    """
    seen, failures = crew.attempt(lambda station: station.look(thorough=True))
    return tuple(
        _checkup(station, seen[name], release)
        if name in seen
        else Checkup(name, None, (_unreached(name, failures[name]),))
        for name, station in crew.stations.items()
    )


def examine_cluster(cluster: Cluster, ask: Ask | None = None) -> tuple[Checkup, ...]:
    """Look at every device of a cluster; `ask` decides on unknown host keys where it is asked."""
    with open_crew(cluster.devices, cluster.name, ask) as crew:
        return examine(crew)


def require(checkups: Sequence[Checkup]) -> tuple[str, ...]:
    """Return the warnings of a preflight, each with its device and its remedy.

    Raises:
        HostError: There is one refusal.
        DeployError: There are several; all are listed.
    """
    errors = [_error(finding) for one in checkups for finding in one.at(Level.REFUSAL)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        count = len({error.where for error in errors})
        told = "".join(f"\n{error}" for error in errors)
        raise DeployError(f"{count} of {len(checkups)} devices failed:{told}")
    return tuple(str(_error(one)) for each in checkups for one in each.at(Level.WARNING))


def _checkup(station: Station, seen: Probe | Blind, release: Release | None) -> Checkup:
    name = station.device.name
    known = None if isinstance(seen, Blind) else seen
    return Checkup(name, known, judge(name, seen, _wanted(station, seen, release)))


def _wanted(station: Station, seen: Probe | Blind, release: Release | None) -> Wanted:
    device, push, memory = station.device, None, station.device.memory
    if release is not None:
        push = 0 if isinstance(seen, Blind) else _to_push(station, release)
        memory = release.memory.get(device.name, 0)
    return Wanted(
        memory=memory,
        push=push,
        code=station.code,
        python=None if station.bare else station.python,
        local=device.connection == "local",
    )


def _to_push(station: Station, release: Release) -> int:
    blobs = release.blobs(station.device.name)
    return sum(nbytes(blobs[blob]) for blob in station.lacking(blobs))


def _unreached(name: str, error: EdgesplitError) -> Finding:
    return Finding(name, "reach", Level.REFUSAL, error.what, error.remedy)


def _error(finding: Finding) -> HostError:
    return HostError(finding.what, where=finding.device, remedy=finding.remedy)
