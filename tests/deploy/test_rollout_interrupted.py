"""A controller that is killed at any step: hosts are old or new, service goes on, the next one ends
what it began."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from rollouts import DEVICES, Load, Site, site, steady

from edgesplit.deploy.fleet import Fleet, open_fleet
from edgesplit.deploy.record import Record
from edgesplit.deploy.steps import STEPS
from edgesplit.operate.launch import launch, roll_back

# A step of a change that drops no device.
_CHANGE = [step for step in STEPS if step != "retire"]


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        made.deploy("a")
        yield made


@pytest.fixture
def load(here: Site) -> Iterator[Load]:
    """A load that goes on through a test, and has lost nothing when it ends."""
    with here.load() as load:
        steady(load)
        yield load
        steady(load)
    counts = load.counts
    assert counts.clean
    assert counts.late == 0


def other(here: Site) -> str:
    """Return the plan that isn't deployed, and choose it."""
    plan = "b" if here.record.source == here.texts["a"] else "a"
    here.choose(plan)
    return plan


def releases(fleet: Fleet) -> dict[str, list[str]]:
    """Return the releases that run on each device, and whether it is locked."""
    told = fleet.crew.each(lambda station: station.call("state"))
    return {
        name: [slot["release"] for slot in answer["slots"].values() if slot["running"]]
        for name, answer in told.items()
    }


def running(record: Record) -> dict[str, list[str]]:
    with open_fleet(record.devices, record) as fleet:
        return releases(fleet)


def wholly_old_or_new(before: Record) -> bool:
    """Tell whether every host has a whole release that its devices can start, old or new."""
    with open_fleet(before.devices, before) as fleet:
        current = {name: state.release for name, state in fleet.states()[0].items()}
        whole = fleet.crew.each(
            lambda station: station.call("describe", str(current[station.device.name]))
        )
    newer = {name for name, release in current.items() if release != before.programs[name]}
    return len(whole) == len(DEVICES) and newer in (set(), set(DEVICES))


def deployed_alone(here: Site) -> bool:
    """Tell whether the record's releases run, and nothing else."""
    record = here.record
    return running(record) == {name: [release] for name, release in record.programs.items()}


@pytest.mark.parametrize("step", _CHANGE)
def test_a_controller_killed_at_a_step(here: Site, load: Load, step: str) -> None:
    before, plan = here.record, other(here)
    with here.controller("launch", step) as controller:
        controller.kill()
    assert wholly_old_or_new(before)
    steady(load)
    done = here.deploy(plan)
    assert done.record.source == here.texts[plan]
    assert deployed_alone(here)


@pytest.mark.parametrize("step", ["start", "commit", "drain"])
def test_a_controller_killed_in_the_middle_of_a_step(here: Site, load: Load, step: str) -> None:
    plan = other(here)
    with here.controller("launch", step, waits=False) as controller:
        controller.kill()
    steady(load)
    here.deploy(plan)
    assert deployed_alone(here)


@pytest.mark.parametrize("step", ["start", "drain", "prune"])
def test_a_rollback_killed_at_a_step(here: Site, load: Load, step: str) -> None:
    plan = other(here)
    here.deploy(plan)
    steady(load)
    before = here.record
    with here.controller("roll_back", step) as controller:
        controller.kill()
    assert wholly_old_or_new(before)
    back = step in {"drain", "prune"}
    assert (here.path.read_text() != here.texts[plan]) == back
    done = launch(here.path) if back else roll_back(here.path)
    assert done.record.epoch > before.epoch
    assert here.record.source == here.path.read_text() != here.texts[plan]
    assert deployed_alone(here)


def test_a_commit_on_one_host_is_carried_to_the_others(here: Site, load: Load) -> None:
    before, plan = here.record, other(here)
    with here.controller("launch", "commit") as controller:
        controller.kill()
    with open_fleet(before.devices, before) as fleet:
        new = [r for r in releases(fleet)["pi2"] if r != before.programs["pi2"]]
        fleet.crew.stations["pi2"].call("commit", *new)
    steady(load)
    done = here.deploy(plan)
    assert done.record.epoch == before.epoch + 1
    assert (done.mode, done.pushed, len(done.changed)) == ("unchanged", 0, 0)
    assert deployed_alone(here)


def test_what_was_half_committed_ends_before_something_else_begins(here: Site, load: Load) -> None:
    steady(load)
    before = here.record
    back = "a" if other(here) == "b" else "b"
    with here.controller("launch", "commit") as controller:
        controller.kill()
    with open_fleet(before.devices, before) as fleet:
        new = [r for r in releases(fleet)["pi1"] if r != before.programs["pi1"]]
        fleet.crew.stations["pi1"].call("commit", *new)
    done = here.deploy(back)
    assert done.record.epoch == before.epoch + 2
    assert deployed_alone(here)


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("keys", signal.SIGTERM),
        ("wait", signal.SIGINT),
        ("trial", signal.SIGTERM),
        ("drain", signal.SIGINT),
    ],
)
def test_an_interrupted_controller_cleans_up(
    here: Site, load: Load, step: str, number: signal.Signals
) -> None:
    before, plan = here.record, other(here)
    with here.controller("launch", step) as controller:
        controller.send_signal(number)
        assert controller.wait(60) != 0
    with open_fleet(before.devices, before) as fleet:
        locks = fleet.crew.each(lambda station: station.call("state")["lock"])
    assert set(locks.values()) == {None}
    if step != "drain":
        assert running(before) == {name: [own] for name, own in before.programs.items()}
    steady(load)
    here.deploy(plan)
    assert deployed_alone(here)


def test_a_device_that_was_dropped_is_told_by_the_next_deployment(here: Site) -> None:
    here.deploy("a")
    here.choose("narrow")
    with here.controller("launch", "retire") as controller:
        controller.kill()
    assert here.currents()["pi3"] is not None
    here.deploy("narrow")
    assert here.currents()["pi3"] is None
    assert len(here.executors()) == 2
    here.deploy("a")
