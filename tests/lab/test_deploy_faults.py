"""Faults that a deploy to real hosts survives: it says which device and what to do, and the old
release goes on answering."""

from __future__ import annotations

import secrets
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import refused
from deployments import PATIENCE
from lab_harms import (
    HARMED,
    MB,
    Harm,
    flip,
    frozen,
    full,
    injected,
    known_by_another_key,
    locked_out,
    size,
    slot,
    squatted,
    switched_off,
    unknown,
    upload,
)
from lab_site import FILE, WORDS, LabSite
from relays import until
from rollouts import steady

from edgesplit.errors import ExitCode
from edgesplit.lab import faults
from edgesplit.lab.faults import Fault, Kind

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (locked_out, ("refused the login", "~/.ssh/authorized_keys")),
        (known_by_another_key, ("has changed", "nothing was sent", "ssh-keygen -R")),
        (unknown, ("is not known", "nothing was sent", "log in once with ssh")),
        (switched_off, ("check", "switched on")),  # By silence, or by a word from this side.
        (frozen, ("did not answer within 5 s", "not overloaded")),
        (full, ("the disk is too full", "1.0 MB free", "free some space")),
        (squatted, ("its executor did not come up", "in use", "try: ")),
    ],
)
def test_a_deploy_is_refused_and_the_old_release_answers(
    here: LabSite, harm: Harm, told: tuple[str, ...]
) -> None:
    before = here.record
    with here.load() as load:
        here.choose_next()
        with harm(here):
            refused(here.deploy(), ExitCode.FAILURE, f"{HARMED}: ", *told)
            steady(load)
        assert here.untouched(before)


@pytest.mark.parametrize("harm", [known_by_another_key, unknown])
def test_who_shows_another_key_is_told_nothing(here: LabSite, harm: Harm) -> None:
    here.choose_next()
    log = here.lab.host(HARMED).log
    before = log.read_text()
    with harm(here):
        assert here.deploy().returncode == ExitCode.FAILURE
    told = log.read_text().removeprefix(before)
    assert "[preauth]" in told
    assert "Accepted" not in told


def test_all_devices_that_fail_are_named_at_once(here: LabSite) -> None:
    here.choose_next()
    with locked_out(here):
        faults.inject(here.lab, Fault(Kind.POWER_OFF, "pi4"))
        finished = here.deploy()
    refused(finished, ExitCode.FAILURE, "2 of 4 devices failed", f"{HARMED}: ", "pi4: ")


def test_a_disk_that_fills_up_meanwhile(here: LabSite) -> None:
    before = here.record
    with here.load() as load:
        here.choose_next()
        with here.deploying("lock") as process, full(here):
            told = here.resumed(process)
            steady(load)
        assert process.returncode == ExitCode.FAILURE
        for words in (f"{HARMED}: ", "the disk may be full", "free some space"):
            assert words in told
        assert here.untouched(before)
        here.goes_on()


def test_an_upload_that_is_cut_goes_on_there(here: LabSite) -> None:
    before, whole = here.record, size(here)
    byte = secrets.randbelow(whole * 3 // 4)
    with here.load() as load:
        here.choose_next()
        with (
            injected(here, Kind.SLOW, 3e6),
            here.desk.begun("deploy", FILE, until="pushing shards") as process,
        ):
            until(lambda: upload(here) > byte)
            faults.inject(here.lab, Fault(Kind.KILL, HARMED, processes="sshd: pi"))
            told = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == ExitCode.FAILURE
        for words in (f"{HARMED}: ", "the connection was lost", "uploaded so far is kept"):
            assert words in told
        steady(load)
        assert here.untouched(before)
        kept = upload(here)
        assert byte < kept < whole
        assert here.goes_on().pushed == whole - kept


def test_an_upload_outlasts_a_link_that_comes_back(here: LabSite) -> None:
    byte = secrets.randbelow(size(here) // 2)
    with here.load() as load:
        here.choose_next()
        with (
            injected(here, Kind.SLOW, 3e6),
            here.desk.begun("deploy", FILE, until="pushing shards") as process,
        ):
            until(lambda: upload(here) > byte)
            with injected(here, Kind.LINK_DOWN):
                steady(load)
            assert process.wait(PATIENCE) == ExitCode.OK
        assert here.settled()


def test_a_flipped_byte_is_found_at_the_start_and_mended_by_the_next_deploy(here: LabSite) -> None:
    blob = flip(here)
    with here.load() as load:
        faults.inject(here.lab, Fault(Kind.KILL, HARMED))
        until(lambda: slot(here).status == "stopped")
        assert (slot(here).last_exit, slot(here).restarts) == (ExitCode.USAGE, 1)
        steady(load)
        assert here.desk.run("status", FILE).returncode == ExitCode.DEGRADED
        assert f"blob {blob} is damaged" in here.desk.done("logs", FILE, HARMED)
        assert f"{size(here) / MB:.3g} MiB" in here.deploys()
        assert here.whole(HARMED)


def test_of_two_operators_one_is_told_about_the_other(here: LabSite, tmp_path: Path) -> None:
    before = here.record
    other = replace(here.desk, extra={"EDGESPLIT_HOME": str(tmp_path)})
    with here.load() as load:
        here.choose_next()
        with here.deploying("wait") as process:
            finished = other.run("deploy", FILE)
            steady(load)
            told = here.resumed(process)
        refused(finished, ExitCode.FAILURE, "has been changing this cluster", "expires in", "pi")
        assert process.returncode == ExitCode.OK, told
        assert here.old_or_new(before) == set(before.programs)
        assert here.settled()


@pytest.mark.parametrize("step", ["push", "start", "commit"])
def test_ctrl_c_unlocks_and_leaves_old_or_new(here: LabSite, step: str) -> None:
    before = here.record
    with here.load() as load:
        here.choose_next()
        with here.desk.begun("deploy", FILE, until=WORDS[step]) as process:
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 130
        assert "Traceback" not in told
        steady(load)
        newer = here.old_or_new(before)
        assert step == "commit" or not newer
        assert all(standing.lock is None for standing in here.standings().values())
        here.goes_on()


def test_a_change_under_load_fails_no_request(here: LabSite) -> None:
    before = here.record
    with here.load() as load:
        plan = here.choose_next()
        here.deploys()
        assert load.gateway.record == here.record
    assert here.plan == plan
    assert here.old_or_new(before) == set(before.programs)


def test_a_rollback_under_load_fails_no_request(here: LabSite) -> None:
    here.choose_next()
    here.deploys()
    before = here.plan
    with here.load() as load:
        here.desk.told("rollback", FILE)
        assert load.gateway.record == here.record
    assert here.plan != before
    assert here.path.read_text() == here.texts[here.plan]
    assert here.settled()
