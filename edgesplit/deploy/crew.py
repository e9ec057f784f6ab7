"""Doing one thing on many devices at once: one result for each, and no failure hides another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from edgesplit.deploy.code import device_code
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.reach import open_host
from edgesplit.deploy.station import Station
from edgesplit.errors import DeployError, EdgesplitError
from edgesplit.spec.cluster import Device

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Crew:
    """Stations by device name, and the threads to work on all of them at once."""

    stations: Mapping[str, Station]
    threads: ThreadPoolExecutor

    def each(self, work: Callable[[Station], T]) -> dict[str, T]:
        """Do `work` on every device and return its results by device name.

        Raises:
            EdgesplitError: The only failure, or a DeployError that lists them all.
        """
        results, failures = self.attempt(work)
        if len(failures) == 1:
            raise next(iter(failures.values()))
        if failures:
            told = "".join(f"\n{error}" for error in failures.values())
            raise DeployError(f"{len(failures)} of {len(self.stations)} devices failed:{told}")
        return results

    def attempt(
        self, work: Callable[[Station], T]
    ) -> tuple[dict[str, T], dict[str, EdgesplitError]]:
        """Do `work` on every device and return the results and the failures, each by name."""
        futures = {n: self.threads.submit(work, s) for n, s in self.stations.items()}
        wait(futures.values())
        results, failures = dict[str, T](), dict[str, EdgesplitError]()
        for name, future in futures.items():
            try:
                results[name] = future.result()
            except EdgesplitError as error:
                failures[name] = error
        return results, failures


@contextmanager
def open_crew(devices: Sequence[Device], cluster: str, ask: Ask | None = None) -> Iterator[Crew]:
    """Open a station on each of the devices; they are reached on first use."""
    code = device_code()
    stations = {d.name: Station(d, open_host(d, ask), cluster, code) for d in devices}
    threads = ThreadPoolExecutor(max(1, len(stations)), thread_name_prefix="edgesplit-deploy")
    try:
        yield Crew(stations, threads)
    finally:
        threads.shutdown(cancel_futures=True)
        for station in stations.values():
            station.host.close()
