"""One plan after another on local devices, with real executors, gateways and load."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from relays import until
from rollouts import DEVICES, Load, Site, site, steady

from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.record import load_record, record_path, save_record
from edgesplit.errors import DeployError
from edgesplit.operate import prepare
from edgesplit.operate.launch import launch, preview, roll_back, take_down
from edgesplit.operate.prepare import Stage
from edgesplit.shards.expected import expected
from edgesplit.shards.known import known_answers

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that every test finds deployed, and leaves so."""
    with site(tmp_path_factory.mktemp("site")) as made:
        made.deploy("a")
        yield made


def clean(load: Load) -> bool:
    counts = load.counts
    return counts.clean and counts.late == 0 and counts.sent > 0


def epochs(site: Site) -> set[int]:
    """Return the epochs that run anywhere."""
    record = site.record
    with open_fleet(record.devices, record) as fleet:
        standings = fleet.crew.each(lambda station: station.call("state"))
    return {
        slot["epoch"]
        for standing in standings.values()
        for slot in standing["slots"].values()
        if slot["running"]
    }


def test_a_change_under_load_fails_no_request(here: Site) -> None:
    before = here.record.epoch
    with here.load() as load:
        steady(load)
        done = here.deploy("b")
        steady(load)
        assert load.gateway.record == done.record
    assert (done.mode, done.changed) == ("rolled", frozenset(DEVICES))
    assert clean(load)
    assert here.record.epoch > before
    assert epochs(here) == {here.record.epoch}


def test_a_rollback_under_load_fails_no_request_and_puts_the_file_back(here: Site) -> None:
    here.deploy("a")
    here.deploy("b")
    with here.load() as load:
        steady(load)
        done = roll_back(here.path)
        steady(load)
        assert load.gateway.record == done.record
    assert clean(load)
    assert done.mode == "rolled"
    assert here.path.read_text() == here.texts["a"]
    assert done.kept is not None
    assert done.kept.read_text() == here.texts["b"]
    assert launch(here.path).mode == "unchanged"


def test_a_rollback_of_a_rollback_returns(here: Site) -> None:
    here.deploy("a")
    here.deploy("b")
    roll_back(here.path)
    assert roll_back(here.path, dry_run=True).record.source == here.texts["b"]
    assert here.path.read_text() == here.texts["a"]
    roll_back(here.path)
    assert here.path.read_text() == here.texts["b"]
    assert here.answers()


def test_a_dropped_device_is_stopped_and_comes_back(here: Site) -> None:
    here.deploy("a")
    with here.load() as load:
        steady(load)
        narrow = preview(here.choose("narrow"))
        assert {change.device: change.action for change in narrow.changes} == {
            "pi1": "change",
            "pi2": "change",
            "pi3": "drop",
        }
        assert set(here.deploy("narrow").record.programs) == {"pi1", "pi2"}
        assert here.currents()["pi3"] is None
        assert len(here.executors()) == 2
        steady(load)
        assert here.deploy("a").changed == set(DEVICES)
        steady(load)
    assert clean(load)


def test_a_rollback_brings_a_dropped_device_back(here: Site) -> None:
    here.deploy("a")
    here.deploy("narrow")
    done = roll_back(here.path)
    assert set(done.record.programs) == set(DEVICES)
    assert here.answers()


def test_rotated_keys_are_new_on_every_device(here: Site) -> None:
    before = here.deploy("a").record
    with here.load() as load:
        steady(load)
        after = here.deploy("a", anew=True).record
        steady(load)
    assert clean(load)
    assert after.epoch > before.epoch
    for device in DEVICES:
        assert after.peers[device].public != before.peers[device].public
    here.deploy("b")
    kept = [len(list(here.root(device).keys.glob("*.secret"))) for device in DEVICES]
    assert kept == [1, 1, 1]


def test_a_wrong_known_answer_leaves_the_old_release_serving(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = here.deploy("a").record
    true = known_answers

    def wrong(*given: object) -> object:
        answers = true(*given)  # type: ignore[arg-type]
        task, (known, *_) = next(iter(answers.items()))
        off = [None if x is None else x + known["scale"] for x in known["samples"]]
        return {**answers, task: ({**known, "samples": off},)}

    with here.load() as load:
        steady(load)
        with monkeypatch.context() as patch:
            patch.setattr(prepare, "known_answers", wrong)
            with pytest.raises(DeployError, match="did not come up") as caught:
                here.deploy("b")
        assert caught.value.where in DEVICES
        steady(load)
    assert clean(load)
    assert here.record == before
    assert epochs(here) == {before.epoch}
    assert here.deploy("b").mode == "rolled"


def test_a_wrong_answer_on_trial_leaves_the_old_release_serving(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = here.deploy("a").record
    true = expected

    def wrong(*given: object) -> object:
        known = true(*given)  # type: ignore[arg-type]
        shifted = {n: (s, tuple(x + s for x in p)) for n, (s, p) in known.outputs.items()}
        return replace(known, outputs=shifted)

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "expected", wrong)
        with pytest.raises(DeployError, match="answered wrongly"):
            here.deploy("b")
    assert here.record == before
    here.choose("a")
    assert here.answers()
    assert epochs(here) == {before.epoch}


def test_a_second_operator_is_told_who_is_at_it(here: Site) -> None:
    here.deploy("a")
    here.choose("b")
    with here.controller("launch", "wait"), pytest.raises(DeployError) as caught:
        launch(here.path)
    assert "has been changing this cluster for" in caught.value.what
    assert "@" in caught.value.what
    assert "expires in" in caught.value.remedy
    assert launch(here.path).mode == "rolled"


def test_of_two_operators_at_once_one_is_refused_and_one_succeeds(here: Site) -> None:
    here.deploy("a")
    here.choose("b")
    told: list[str] = []

    def operate() -> None:
        try:
            told.append(launch(here.path).mode)
        except DeployError as error:
            told.append(error.what)

    operators = [threading.Thread(target=operate) for _ in range(2)]
    for operator in operators:
        operator.start()
    for operator in operators:
        operator.join()
    assert "rolled" in told
    assert here.answers()
    assert all("changing this cluster" in what for what in told if what not in _MODES)


_MODES = {"rolled", "unchanged"}


def test_a_lock_of_another_machine_holds_until_it_expires(here: Site) -> None:
    here.deploy("a")
    order = {
        "owner": "eve@elsewhere",
        "token": "t",
        "seconds": 2.0,
        "process": {"host": "elsewhere", "boot": "b", "pid": 1, "started": 1},
    }
    record = here.record
    with open_fleet(record.devices, record) as fleet:
        fleet.crew.each(lambda station: station.call("lock", order=order))
    with pytest.raises(DeployError, match="eve@elsewhere"):
        here.deploy("b")
    until(lambda: _deploys(here, "b"))


def _deploys(here: Site, plan: str) -> bool:
    try:
        return here.deploy(plan).mode == "rolled"
    except DeployError:
        return False


def test_a_lost_record_is_taken_from_the_devices(here: Site) -> None:
    first = here.deploy("a").record
    record_path(here.path).unlink()
    assert here.deploy("a").record == first


def test_an_older_record_learns_from_the_devices(here: Site) -> None:
    older = here.deploy("a").record
    newer = here.deploy("b").record
    save_record(older, record_path(here.path))
    assert here.deploy("b").record == newer
    save_record(older, record_path(here.path))
    assert here.deploy("a").record.epoch > newer.epoch
    assert here.answers()


def test_down_and_up_again(here: Site) -> None:
    here.deploy("a")
    take_down(here.path)
    assert here.executors() == {}
    assert here.deploy("a").mode == "first"
    take_down(here.path)
    assert here.deploy("b").mode == "first"
    assert here.answers()


def test_a_device_without_memory_for_both_drains_first(tmp_path: Path) -> None:
    with site(tmp_path, memory="58 MiB") as small:
        small.deploy("a")
        steps: list[str] = []

        def tell(stage: Stage) -> None:
            steps.append(stage.what)

        assert preview(small.choose("b")).mode == "drained"
        with small.load() as load:
            steady(load)
            done = small.deploy("b", tell)
            steady(load)
        assert done.mode == "drained"
        assert clean(load)
        assert steps.index("commit") < steps.index("drain") < steps.index("start")
        assert epochs(small) == {done.record.epoch}


def test_where_the_new_one_fails_after_draining_the_old_one_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(tmp_path, memory="58 MiB") as small:
        before = small.deploy("a").record
        true = expected

        def wrong(*given: object) -> object:
            known = true(*given)  # type: ignore[arg-type]
            return replace(known, tolerance=-1.0)

        with small.load() as load:
            steady(load)
            with monkeypatch.context() as patch:
                patch.setattr(prepare, "expected", wrong)
                with pytest.raises(DeployError, match="answered wrongly"):
                    small.deploy("b")
            steady(load)
        assert clean(load)
        assert small.record == before
        assert epochs(small) == {before.epoch}


def test_a_record_says_how_to_reach_every_device(here: Site) -> None:
    record = here.deploy("a").record
    assert {device.name for device in record.devices.devices} == set(DEVICES)
    assert record.source == here.texts["a"]
    assert set(record.memory) == set(DEVICES)
    text = record_path(here.path).read_text()
    assert load_record(record_path(here.path)) == record
    assert json.loads(text)["format"] == 3
