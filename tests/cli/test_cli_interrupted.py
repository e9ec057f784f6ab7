"""Being interrupted: exit code 128 + signal, a word about it, and nothing left running."""

from __future__ import annotations

import signal
import subprocess

import pytest
from command_line import COMMAND, Desk


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("checking devices", signal.SIGTERM),
        ("starting executors", signal.SIGINT),
        ("before: steady", signal.SIGINT),
    ],
)
def test_the_demo_stops_what_it_started(desk: Desk, moment: str, number: signal.Signals) -> None:
    with desk.begun("demo", until=moment) as process:
        process.send_signal(number)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "interrupted" in told
    assert "Traceback" not in told
    assert desk.executors() == []


def test_a_deploy_that_is_interrupted_leaves_nothing_running(desk: Desk) -> None:
    desk.start_small()
    desk.done("plan", "cluster.yaml", "model.yaml")
    with desk.begun("deploy", "allocation.yaml", until="starting executors") as process:
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    assert desk.executors() == []
    assert not (desk.folder / "allocation.deployed.json").exists()


@pytest.mark.parametrize("words", [("schema", "cluster"), ("--help",)])
def test_a_reader_that_goes_away_is_no_error(desk: Desk, words: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [*COMMAND, *words], env=desk.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode in {0, 1}
