"""Deploying an allocation: every device staged before any is changed, and all of them or none."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.programs import Generation, Release, manifest, peers, programs
from edgesplit.deploy.record import Record, load_record, save_record
from edgesplit.deploy.rollout import State, reverting, runs, switch
from edgesplit.deploy.station import NEEDED_MODULES, Station, nbytes
from edgesplit.errors import DeployError, HostError
from edgesplit.runtime.program import Program
from edgesplit.runtime.release import Manifest
from edgesplit.spec.cluster import Cluster, Device


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of one device: what it is at, and `done` of `total` bytes while pushing."""

    device: str
    name: str
    done: int = 0
    total: int = 0


Progress = Callable[[Step], None]
"""Told of every step; called from several threads."""

Ready = Callable[[Record], None]
"""Returns when every executor answers as this record says; raises EdgesplitError if one doesn't."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a deployment would do to one device, in bytes; `unchanged` releases restart nothing."""

    device: str
    push: Mapping[str, int]
    keep: Mapping[str, int]
    unchanged: bool


@dataclass(frozen=True, slots=True)
class _Order:
    """A device's release before it is staged."""

    program: Program
    manifest: Manifest


def deploy(
    release: Release,
    cluster: Cluster,
    gateway: str,
    record: Path,
    *,
    ready: Ready,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
) -> Record:
    """Bring an allocation up on its devices and write the deployment record last.

    Deploying what runs already moves no bytes and restarts nothing. A deployment that fails or is
    interrupted leaves running what ran before.

    Args:
        release: What to deploy.
        cluster: The devices.
        gateway: Public key of the gateways that may open requests, in Z85.
        record: Where the previous record may lie and the new one goes.
        ready: Waits for the executors.
        progress: Told of every step.
        ask: Decides on unknown host keys where the cluster file says `host_keys: ask`.

    Raises:
        HostError: A device can't be reached or lacks something; nothing was changed.
        DeployError: Several devices failed, or an executor didn't come up.
    """
    previous = _previous(record)
    with open_crew(_devices(release, cluster), cluster.name, ask) as crew:
        crew.each(lambda station: _preflight(station, release, progress))
        publics = crew.each(lambda station: _make_keys(station, progress))
        before: dict[str, State] = crew.each(lambda station: station.call("state"))
        generation = _first(previous, gateway, publics)
        orders = _orders(crew, release, cluster, generation)
        if previous and _digests(orders) != previous.programs:
            generation = replace(generation, epoch=generation.epoch + 1)
            orders = _orders(crew, release, cluster, generation)
        digests = _digests(orders)
        crew.each(lambda s: _stage(s, release, orders[s.device.name], before, progress))
        new = _record(release, cluster, generation, digests)
        with reverting(crew, digests, before):
            progress(Step("", "start"))
            switch(crew, digests, before)
            progress(Step("", "wait"))
            ready(new)
        save_record(new, record)
        return new


def preview(
    release: Release, cluster: Cluster, gateway: str, record: Path, *, ask: Ask | None = None
) -> tuple[Change, ...]:
    """Return what `deploy` would do; nothing is changed anywhere.

    Raises:
        HostError: A device can't be reached or lacks something.
        DeployError: Several devices failed.
    """
    previous = _previous(record)
    with open_crew(_devices(release, cluster), cluster.name, ask) as crew:
        crew.each(lambda station: station.probe(NEEDED_MODULES))
        running = _running(crew, _again(crew, release, cluster, gateway, previous))
        return tuple(
            _change(station, release, unchanged=name in running)
            for name, station in crew.stations.items()
        )


def down(
    cluster: Cluster, devices: tuple[str, ...], *, purge: bool = False, ask: Ask | None = None
) -> None:
    """Stop the executors of these devices; `purge` deletes all that edgesplit has there.

    Raises:
        HostError: A device can't be reached; the others were stopped.
        DeployError: Several devices failed; the others were stopped.
    """
    with open_crew([cluster.device(n) for n in devices], cluster.name, ask) as crew:
        crew.each(lambda station: _take_down(station, "purge" if purge else "stop"))


def _devices(release: Release, cluster: Cluster) -> list[Device]:
    return [cluster.device(name) for name in release.table.devices]


def _previous(path: Path) -> Record | None:
    """Return the last record; a damaged one counts as none, and a new cluster id fences it."""
    try:
        return load_record(path)
    except DeployError:
        return None


def _first(previous: Record | None, gateway: str, publics: Mapping[str, str]) -> Generation:
    """Return the generation that goes on from the last record, or begins a new cluster."""
    cluster = previous.cluster if previous else secrets.token_hex(8)
    return Generation(cluster, previous.epoch if previous else 1, (gateway,), publics)


def _orders(
    crew: Crew, release: Release, cluster: Cluster, generation: Generation
) -> dict[str, _Order]:
    stations = crew.stations
    return {
        name: _Order(
            program, manifest(release, program, stations[name].code, stations[name].python)
        )
        for name, program in programs(release, cluster, generation).items()
    }


def _digests(orders: Mapping[str, _Order]) -> dict[str, str]:
    return {name: order.manifest.digest for name, order in orders.items()}


def _record(
    release: Release, cluster: Cluster, generation: Generation, digests: Mapping[str, str]
) -> Record:
    return Record(
        cluster=generation.cluster,
        epoch=generation.epoch,
        allocation=release.allocation,
        table=release.table,
        peers=peers(cluster, generation.devices),
        programs=digests,
        deadline=release.deadline,
        head=release.head,
    )


def _preflight(station: Station, release: Release, progress: Progress) -> None:
    """Check everything that can be checked without a change."""
    name = station.device.name
    progress(Step(name, "probe"))
    found = station.probe(NEEDED_MODULES)
    blobs = release.blobs(name)
    needed = sum(nbytes(blobs[blob]) for blob in station.lacking(blobs))
    # Local blobs are links into the shard store and take no space of their own.
    if station.device.connection == "ssh" and needed > found.free:
        raise HostError(
            f"the disk is too full: {needed / 1e6:.1f} MB to push, {found.free / 1e6:.1f} MB free",
            where=name,
            remedy=f"free some space, or set the device's `root` (now {found.root}) elsewhere",
        )


def _make_keys(station: Station, progress: Progress) -> str:
    progress(Step(station.device.name, "keys"))
    station.bootstrap()
    return str(station.call("keygen")["public"])


def _stage(
    station: Station,
    release: Release,
    order: _Order,
    before: Mapping[str, State],
    progress: Progress,
) -> None:
    """Push a release beside the one that runs."""
    name = station.device.name
    if runs(before[name], order.manifest.digest):
        progress(Step(name, "keep"))
        return
    blobs = release.blobs(name)
    total = sum(nbytes(blobs[blob]) for blob in station.lacking(blobs))
    done = 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        progress(Step(name, "push", done, total))

    sent(0)
    station.push(blobs, sent)
    text = order.program.to_json()
    station.call("stage", order={"manifest": asdict(order.manifest), "program": text})
    progress(Step(name, "staged"))


def _again(
    crew: Crew, release: Release, cluster: Cluster, gateway: str, previous: Record | None
) -> Mapping[str, str]:
    """Return the releases that deploying now would make, where the last record has the same."""
    publics = {name: peer.public for name, peer in previous.peers.items()} if previous else {}
    if previous is None or set(publics) != set(crew.stations):
        return {}
    digests = _digests(_orders(crew, release, cluster, _first(previous, gateway, publics)))
    return digests if digests == previous.programs else {}


def _running(crew: Crew, digests: Mapping[str, str]) -> frozenset[str]:
    """Return the devices that run these releases; one that can't tell runs nothing."""
    if not digests:
        return frozenset()
    states, _ = crew.attempt(lambda station: station.call("state"))
    return frozenset(name for name, state in states.items() if runs(state, digests[name]))


def _change(station: Station, release: Release, *, unchanged: bool) -> Change:
    blobs = release.blobs(station.device.name)
    sizes = {name: nbytes(source) for name, source in blobs.items()}
    lacking = frozenset(station.lacking(blobs))
    return Change(
        station.device.name,
        {name: size for name, size in sizes.items() if name in lacking},
        {name: size for name, size in sizes.items() if name not in lacking},
        unchanged,
    )


def _take_down(station: Station, verb: str) -> None:
    if station.probe().owned:
        station.bootstrap()
        station.call(verb)
