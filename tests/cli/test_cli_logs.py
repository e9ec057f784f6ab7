"""`logs` and `status`: what devices wrote and how they are."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess

import pytest
from command_line import COMMAND, Desk, refused, strict_json

from edgesplit.errors import HostError
from edgesplit.operate.logs import Line, Silence
from edgesplit.report.logs import LogView

DEVICES = ("pi1", "pi2", "pi3", "pi4")


def test_lines_of_all_devices_are_told_apart(deployed: Desk) -> None:
    lines = deployed.done("logs", "allocation.yaml", "-n", "1").splitlines()
    assert [line.partition(" | ")[0] for line in lines] == list(DEVICES)
    assert all("serves epoch" in line for line in lines)


def test_lines_of_one_device_as_json(deployed: Desk) -> None:
    told = deployed.done("logs", "allocation.yaml", "pi3", "pi2", "--json", "-n", "2")
    lines = [strict_json(line) for line in told.splitlines()]
    assert [line["device"] for line in lines] == ["pi3"] * 2 + ["pi2"] * 2
    assert all(line["line"] for line in lines)


def test_logs_of_an_unknown_device_are_refused(deployed: Desk) -> None:
    refused(deployed.run("logs", "allocation.yaml", "pi9"), 2, "'pi9'", "pi1, pi2")


def test_watching_without_a_terminal_takes_json(deployed: Desk) -> None:
    refused(deployed.run("status", "allocation.yaml", "--watch"), 2, "terminal", "--json")


def test_on_a_terminal_one_status_is_drawn_over_the_other(deployed: Desk) -> None:
    screen, terminal = pty.openpty()
    words = [*COMMAND, "status", "allocation.yaml", "--watch"]
    env = {**deployed.env, "TERM": "xterm"}
    with subprocess.Popen(words, cwd=deployed.folder, env=env, stderr=terminal) as process:
        os.close(terminal)
        with os.fdopen(screen, "rb", buffering=0) as drawn:
            seen = b""
            while seen.count(b"since the refresh before") < 2:
                seen += drawn.read(4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
    assert seen.count(b"pi3") >= 2
    assert b"\x1b[1A" in seen, "the cursor goes up"


def test_status_has_release_epoch_load_and_board(deployed: Desk) -> None:
    state = deployed.json("status", "allocation.yaml")
    record = json.loads((deployed.folder / "allocation.deployed.json").read_text("utf-8"))
    for device in state["devices"]:
        assert device["release"] == record["programs"][device["device"]]
        assert device["beat"]["epoch"] == record["epoch"]
        assert set(device["beat"]["board"]) == {"celsius", "throttled"}
        assert 0 <= device["busy"] < 1
    whole = next(one for one in state["devices"] if one["device"] == "pi1")
    assert whole["task_seconds"] > 0, "no trial request goes by without it"
    told = deployed.told("status", "allocation.yaml")
    assert all(one["release"][:8] in told for one in state["devices"])


def test_what_would_steer_a_terminal_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    view = LogView(("pi1", "camera"))
    view.show(Line("pi1", "a\x1b[2Jb\x07c [red]d[/]"))
    view.show(Silence("camera", HostError("it is gone", where="camera", remedy="look")))
    told = capsys.readouterr()
    assert told.out == "pi1    | a\ufffd[2Jb\ufffdc [red]d[/]\n"
    assert "camera: it is gone" in told.err
