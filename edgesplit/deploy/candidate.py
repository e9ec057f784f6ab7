"""A candidate: a release for every device, and the record that tells of it. Nothing of it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.programs import (
    Generation,
    Release,
    bind_of,
    manifest,
    peers,
    programs,
    reissued_manifest,
    slot_of,
)
from edgesplit.deploy.record import Record
from edgesplit.runtime.program import Peer, Program
from edgesplit.runtime.release import Manifest
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.cluster_file import cluster_to_plain


@dataclass(frozen=True, slots=True)
class Order:
    """A device's release before it is staged."""

    program: Program
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Candidate:
    """What every device is to run, and the record that leads gateways to it."""

    orders: Mapping[str, Order]
    record: Record

    @property
    def slot(self) -> int:
        """The slot in which its releases run."""
        return slot_of(self.record.epoch)

    @property
    def releases(self) -> Mapping[str, str]:
        """The digest of each device's release."""
        return self.record.programs


def compose(release: Release, cluster: Cluster, generation: Generation, crew: Crew) -> Candidate:
    """Return the candidate that an allocation makes in a generation."""
    stations = crew.stations
    orders = {
        name: Order(
            program, manifest(release, program, stations[name].code, stations[name].interpreter)
        )
        for name, program in programs(release, cluster, generation).items()
    }
    record = Record(
        cluster=generation.cluster,
        epoch=generation.epoch,
        allocation=release.allocation,
        table=release.table,
        peers=peers(cluster, generation),
        programs=_digests(orders),
        deadline=release.deadline,
        heads=release.heads,
        cluster_file=cluster_to_plain(cluster),
        source=release.source,
        memory=dict(release.memory),
        mapped=dict(release.mapped),
    )
    return Candidate(orders, record)


def reissue(earlier: Candidate, generation: Generation) -> Candidate:
    """Return earlier releases as a candidate of a new generation, of the same blobs and code."""
    record, everyone = earlier.record, peers(earlier.record.devices, generation)
    orders = {
        name: _again(order, record, generation, everyone) for name, order in earlier.orders.items()
    }
    new = replace(
        record,
        cluster=generation.cluster,
        epoch=generation.epoch,
        peers=everyone,
        programs=_digests(orders),
        leaving={},
    )
    return Candidate(orders, new)


def _again(
    order: Order, record: Record, generation: Generation, everyone: Mapping[str, Peer]
) -> Order:
    name = order.program.device
    program = replace(
        order.program,
        cluster=generation.cluster,
        epoch=generation.epoch,
        bind=bind_of(record.devices.device(name), generation.epoch),
        peers={peer: everyone[peer] for peer in order.program.peers},
        gateways=generation.gateways,
        key=generation.devices[name],
    )
    return Order(program, reissued_manifest(order.manifest, program))


def _digests(orders: Mapping[str, Order]) -> dict[str, str]:
    return {name: order.manifest.digest for name, order in orders.items()}
