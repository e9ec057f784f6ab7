"""Devices that do nothing else, so that they can be measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.lock import locked
from edgesplit.deploy.preflight import examine, require
from edgesplit.deploy.provision import choose, provision
from edgesplit.deploy.standing import look_everywhere
from edgesplit.deploy.steps import Step
from edgesplit.errors import DeployError
from edgesplit.operate.prepare import Progress, Stage
from edgesplit.spec.cluster import Device


@contextmanager
def idle_devices(
    devices: Sequence[Device], cluster: str, progress: Progress, ask: Ask | None, *, force: bool
) -> Iterator[Crew]:
    """Yield devices that are ours alone, and have the Python that executors run with.

    Raises:
        HostError: A device can't be reached, or lacks something.
        DeployError: An executor runs there and `force` wasn't given, or somebody else is at it.
    """

    def tell(step: Step) -> None:
        progress(Stage(step.name, step.done, step.total, step.device))

    with open_crew(devices, cluster, ask) as crew:
        progress(Stage("probe"))
        require(examine(crew))
        if not force:
            _refuse_busy(crew)
        outfit = choose(crew, tell)
        with locked(crew, tell):
            provision(crew, outfit, tell)
            yield crew


def _refuse_busy(crew: Crew) -> None:
    standings = look_everywhere(crew)
    busy = [name for name, one in standings.items() if any(slot.running for slot in one.slots)]
    if busy:
        raise DeployError(
            "an executor runs there: each would disturb the other",
            where=", ".join(busy),
            remedy="stop the deployment first (edgesplit down ALLOCATION), or measure beside it "
            "with --force",
        )
