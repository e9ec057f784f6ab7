"""Bringing blobs to devices: only the bytes they lack, and checked there before they count."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.hosts import Host, Portable, Sent
from edgesplit.deploy.station import Station, nbytes
from edgesplit.deploy.workers import open_workers
from edgesplit.errors import HostError
from edgesplit.runtime.blobs import PARTIAL

Files = Mapping[str, Path | bytes]
"""Blobs by name, `<sha256>.<suffix>`: a file of this machine, or the content itself."""

Put = Callable[[Files, Sent], None]
"""As `Host.put`, by whomever it is done."""

Told = Callable[[str, int, int], None]
"""Told of a device that it has so many bytes of all that it lacked; called from any thread."""

# Below this a round trip costs more than the bytes: such files go together, as one stream.
_SMALL = 1 << 20
# The stream is made in memory, so many bytes at a time.
_BUNDLE = 32 << 20
# One process moves more than four Raspberry Pis' links carry; and to start others takes a second.
_HOSTS_OF_ONE_PROCESS = 4
_BYTES_OF_ONE_PROCESS = 64 << 20


def push_all(crew: Crew, files_by_device: Mapping[str, Files], progress: Told) -> dict[str, int]:
    """Make every device hold its own blobs, whole, and return the bytes that moved, by device.

    Raises:
        EdgesplitError: The only failure, or a DeployError that lists them all.
    """
    tallies = {
        name: _Tally(name, _bytes_to_move(station, files_by_device.get(name, {})), progress)
        for name, station in crew.stations.items()
    }
    with _hands(crew, files_by_device) as hand:

        def work(station: Station) -> None:
            name = station.device.name
            files = files_by_device.get(name, {})
            push(station, files, tallies[name].sent, hand(station.host))

        crew.each(work)
    return {name: tally.done for name, tally in tallies.items()}


def push(station: Station, files: Files, sent: Sent, put: Put | None = None) -> None:
    """Make a device hold these blobs, whole: it hashes all of them, and those anew that it had.

    Only missing and damaged ones move. They take their names after they were hashed and synced.

    Args:
        station: The device, with its folder there.
        files: What it must hold.
        sent: Told of the bytes that move.
        put: Who moves the large ones; the station's host by default.

    Raises:
        HostError: An upload failed, or a blob is damaged again after a second upload.
    """
    wanted = _wanted(station, files)
    for _ in range(2 if files else 0):
        _upload(station, {name: files[name] for name in wanted}, sent, put or station.host.put)
        wanted = tuple(station.call("verify", order={"names": tuple(files)})["bad"])
        if not wanted:
            return
    if wanted:
        raise HostError(
            f"the blob {wanted[0]} is damaged there after a second upload too",
            where=station.device.name,
            remedy="check the device's memory and disk, and the shard store on this machine",
        )


def _upload(station: Station, files: Files, sent: Sent, put: Put) -> None:
    small = _small(station, files)
    for bundle in _bundles(small):
        station.call("unpack", order=_tar(bundle))
        sent(sum(map(nbytes, bundle.values())))
    large = {station.blob(n) + PARTIAL: files[n] for n in files if n not in small}
    if large:
        put(large, sent)


def _small(station: Station, files: Files) -> Files:
    """Return what goes in one stream; on this machine a file is as quick as a stream."""
    if station.device.connection == "local":
        return {}
    return {name: source for name, source in files.items() if nbytes(source) < _SMALL}


def _bundles(files: Files) -> Iterator[Files]:
    bundle: dict[str, Path | bytes] = {}
    for name, source in files.items():
        if bundle and sum(map(nbytes, bundle.values())) + nbytes(source) > _BUNDLE:
            yield bundle
            bundle = {}
        bundle[name] = source
    if bundle:
        yield bundle


def _tar(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, source in files.items():
            content = source if isinstance(source, bytes) else source.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _wanted(station: Station, files: Files) -> tuple[str, ...]:
    """Return what isn't there whole, also not as an upload that only wasn't checked any more."""
    sizes = station.sizes
    return tuple(
        name for name in station.lacking(files) if sizes.get(name + PARTIAL) != nbytes(files[name])
    )


def _bytes_to_move(station: Station, files: Files) -> int:
    return sum(_rest(station, name, files[name]) for name in _wanted(station, files))


def _rest(station: Station, name: str, source: Path | bytes) -> int:
    """Return how many bytes of a blob are left to upload; small ones begin anew."""
    size, there = nbytes(source), station.sizes.get(name + PARTIAL, 0)
    return size - there if size >= _SMALL and there < size else size


@contextmanager
def _hands(crew: Crew, files_by_device: Mapping[str, Files]) -> Iterator[Callable[[Host], Put]]:
    """Yield who moves large blobs to a host: worker processes where there is enough to do."""
    loads = {
        name: _large_bytes(station, files_by_device.get(name, {}))
        for name, station in crew.stations.items()
        if isinstance(station.host, Portable)
    }
    hosts, total = sum(map(bool, loads.values())), sum(loads.values())
    if hosts <= _HOSTS_OF_ONE_PROCESS or total <= _BYTES_OF_ONE_PROCESS:
        yield lambda host: host.put
        return
    with open_workers(hosts) as workers:
        yield (
            lambda host: (
                partial(workers.put, host.passport()) if isinstance(host, Portable) else host.put
            )
        )


def _large_bytes(station: Station, files: Files) -> int:
    wanted = {name: files[name] for name in _wanted(station, files)}
    small = _small(station, wanted)
    return sum(_rest(station, n, source) for n, source in wanted.items() if n not in small)


class _Tally:
    """Counts what moved to one device; what has to move twice adds to the total."""

    def __init__(self, device: str, total: int, progress: Told) -> None:
        self.done = 0
        self._device, self._total, self._progress = device, total, progress
        if total:
            progress(device, 0, total)

    def sent(self, count: int) -> None:
        self.done += count
        self._total = max(self._total, self.done)
        self._progress(self._device, self.done, self._total)
