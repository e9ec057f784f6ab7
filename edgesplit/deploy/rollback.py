"""Back to the release before: the same blobs and code, in an epoch of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from edgesplit.deploy.candidate import Candidate, Order, reissue
from edgesplit.deploy.changeover import Deployed, begin
from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.lineage import trace
from edgesplit.deploy.lock import locked
from edgesplit.deploy.programs import Generation
from edgesplit.deploy.record import Record
from edgesplit.deploy.staging import make_keys
from edgesplit.deploy.standing import look_everywhere, records_of
from edgesplit.deploy.station import Station
from edgesplit.deploy.steps import Progress, Step
from edgesplit.deploy.witness import Conduct
from edgesplit.errors import DeployError
from edgesplit.runtime.program import Program
from edgesplit.runtime.release import Manifest


@dataclass(frozen=True)
class Earlier:
    """What there is to go back to; `reached` where a rollback to it was cut off at its end."""

    record: Record
    reached: bool = False


@contextmanager
def looking_back(
    known: Record, allocation: str, progress: Progress, ask: Ask | None = None
) -> Iterator[tuple[Crew, Earlier]]:
    """Yield the release before the deployed one, and the crew of its devices; nothing is changed.

    Args:
        known: The record at hand.
        allocation: The SHA-256 of the allocation file beside it.
        progress: Told of every step.
        ask: Decides on unknown host keys where the cluster file says `host_keys: ask`.

    Raises:
        DeployError: There is no release before it.
    """
    with ExitStack() as stack:
        crew = stack.enter_context(_crew(known, known.programs, ask))
        progress(Step("", "probe"))
        earlier = _find(crew, known, allocation)
        others = [name for name in earlier.record.programs if name not in crew.stations]
        more = stack.enter_context(_crew(earlier.record, others, ask))
        together = Crew({**crew.stations, **more.stations})
        yield together.only(earlier.record.programs), earlier


def roll_back(
    crew: Crew, earlier: Earlier, known: Record, gateway: str, conduct: Conduct
) -> Deployed:
    """Bring an earlier release up in the next epoch, as `deploy` does; no blob moves.

    Args:
        crew: Its devices.
        earlier: Where to go back to.
        known: The record at hand.
        gateway: Public key of the gateways that may open requests, in Z85.
        conduct: Who takes part; it puts the allocation file back before it keeps the record.

    Raises:
        HostError: A device can't be reached, or hasn't got its part of that release any more.
        DeployError: As from `deploy`.
    """
    with locked(crew, conduct.progress):
        orders = crew.each(lambda station: _order(station, earlier.record))
        for name, order in orders.items():
            crew.stations[name].python = order.manifest.python
        publics = make_keys(crew, conduct.progress)
        changeover = begin(crew, known, None, conduct)
        candidate = Candidate(orders, earlier.record)
        if not earlier.reached:
            generation = Generation(*changeover.next_identity(), (gateway,), publics)
            candidate = reissue(candidate, generation)
        return changeover.apply(candidate, {})


def _crew(record: Record, names: Iterable[str], ask: Ask | None) -> AbstractContextManager[Crew]:
    devices = [record.devices.device(name) for name in names]
    return open_crew(devices, record.devices.name, ask)


def _find(crew: Crew, known: Record, allocation: str) -> Earlier:
    latest = trace(crew, look_everywhere(crew), known, None).latest or known
    # Devices are further than our record, and not at what this file says: they have gone back.
    if latest.epoch > known.epoch and latest.allocation != allocation:
        return Earlier(latest, reached=True)
    return Earlier(_before(crew, latest))


def _before(crew: Crew, latest: Record) -> Record:
    """Return the record of what the latest release replaced."""

    def before(station: Station) -> str:
        release = latest.programs[station.device.name]
        return str(station.call("describe", release)["before"] or "")

    told, _ = crew.only(latest.programs).attempt(before)
    releases = {name: release for name, release in told.items() if release}
    records = records_of(crew, releases)
    if not records:
        raise DeployError(
            "there is no release to go back to",
            remedy="devices keep the one before the deployed one: deploy twice first",
        )
    return max(records.values(), key=lambda record: record.epoch)


def _order(station: Station, record: Record) -> Order:
    told = station.call("describe", record.programs[station.device.name])
    return Order(Program.from_json(told["program"]), Manifest.of(told["manifest"]))
