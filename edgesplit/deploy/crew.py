"""Doing one thing on many devices at once: one result for each, and no failure hides another's."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from queue import SimpleQueue
from typing import Any, TypeVar

from edgesplit.deploy.code import device_code
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.reach import open_host
from edgesplit.deploy.station import Station
from edgesplit.errors import DeployError, EdgesplitError
from edgesplit.spec.cluster import Device

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Crew:
    """Stations by device name, to work on all of them at once."""

    stations: Mapping[str, Station]

    def only(self, names: Collection[str]) -> Crew:
        """Return the crew of some of these devices."""
        return Crew({name: one for name, one in self.stations.items() if name in names})

    def each(self, work: Callable[[Station], T], *, settled: bool = False) -> dict[str, T]:
        """Do `work` on every device and return its results by device name.

        Args:
            work: What to do.
            settled: Have an interruption wait until it is done everywhere, so that what undoes it
                can't overtake it.

        Raises:
            EdgesplitError: The only failure, or a DeployError that lists them all.
        """
        results, failures = self.attempt(work, settled=settled)
        self.refuse(failures)
        return results

    def refuse(self, failures: Mapping[str, EdgesplitError]) -> None:
        """Raise the only failure, or a DeployError that lists them all; nothing where none is."""
        if len(failures) == 1:
            raise next(iter(failures.values()))
        if failures:
            told = "".join(f"\n{error}" for error in failures.values())
            raise DeployError(f"{len(failures)} of {len(self.stations)} devices failed:{told}")

    def attempt(
        self, work: Callable[[Station], T], *, settled: bool = False
    ) -> tuple[dict[str, T], dict[str, EdgesplitError]]:
        """Do `work` on every device and return the results and the failures, each by name."""
        outcomes = _everywhere(work, self.stations, settled=settled)
        results, failures = dict[str, T](), dict[str, EdgesplitError]()
        for name in self.stations:
            failure = outcomes[name].failure
            if failure is None:
                results[name] = outcomes[name].result
            elif isinstance(failure, EdgesplitError):
                failures[name] = failure
            else:
                raise failure
        return results, failures


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Any = None
    failure: BaseException | None = None


_Outcomes = dict[str, _Outcome]
_Told = SimpleQueue[None]


def _everywhere(
    work: Callable[[Station], T], stations: Mapping[str, Station], *, settled: bool
) -> _Outcomes:
    """Do `work` on every station in a thread of its own, and wait for all.

    A signal may raise in this thread at any moment. It must then hold no lock that the others
    need, so there is neither an executor nor a `threading.Thread` here: a dict and a queue in C
    are all that is shared. What is under way on a device goes on whatever we do.
    """
    outcomes, told = _Outcomes(), _Told()
    jobs = [(work, name, station, outcomes, told) for name, station in stations.items()]
    begun: list[int] = []
    try:
        # One call, in C: a signal raises before it or behind it, so `begun` says what was started.
        begun.extend(map(start_new_thread, repeat(_do), jobs))
        _wait(begun, outcomes, told)
    finally:
        if settled:
            _wait(begun, outcomes, told)
    return outcomes


def _wait(begun: Sequence[int], outcomes: _Outcomes, told: _Told) -> None:
    """Wait for all outcomes; a word lost to a signal is no harm, since its outcome is there."""
    while len(outcomes) < len(begun):
        told.get()


def _do(
    work: Callable[[Station], T], name: str, station: Station, outcomes: _Outcomes, told: _Told
) -> None:
    try:
        outcomes[name] = _Outcome(result=work(station))
    except BaseException as failure:  # noqa: BLE001 - raised again in the thread that waits
        outcomes[name] = _Outcome(failure=failure)
    told.put(None)


@contextmanager
def open_crew(devices: Sequence[Device], cluster: str, ask: Ask | None = None) -> Iterator[Crew]:
    """Open a station on each of the devices; they are reached on first use."""
    code = device_code()
    stations = {d.name: Station(d, open_host(d, ask), cluster, code) for d in devices}
    try:
        yield Crew(stations)
    finally:
        for station in stations.values():
            station.finish()
        for station in stations.values():
            station.close()
