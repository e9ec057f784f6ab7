"""Verbs asked of one process on a device, and what becomes of it."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from relays import local_device, until

from edgesplit.deploy.code import device_code
from edgesplit.deploy.dialogue import Dialogue
from edgesplit.deploy.local import LocalHost
from edgesplit.deploy.station import Station
from edgesplit.errors import HostError
from edgesplit.runtime.__main__ import _read
from edgesplit.runtime.dialogue import serve


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    device = local_device("d1", tmp_path / "d1")
    made = Station(device, LocalHost("d1"), "c", device_code())
    made.bootstrap()
    yield made
    made.close()


def talkers(station: Station) -> list[int]:
    """Return the processes that answer verbs in a station's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "dialogue" in words and station.found.root in words:
            found.append(int(path.parent.name))
    return found


def test_one_process_answers_all_verbs_and_ends_with_the_station(station: Station) -> None:
    assert station.call("state")["current"] is None
    (first,) = talkers(station)
    public = station.call("keygen")["public"]
    assert station.call("keygen")["public"] == public
    assert talkers(station) == [first]
    station.close()
    assert talkers(station) == []


def test_a_verb_that_fails_ends_nothing(station: Station) -> None:
    with pytest.raises(HostError, match="there is no release 0000") as caught:
        station.call("start", "0" * 64)
    assert (caught.value.where, caught.value.remedy) == ("d1", "deploy again")
    assert station.call("state")["current"] is None
    assert len(talkers(station)) == 1


def test_a_process_that_was_killed_is_told_and_begun_again(station: Station) -> None:
    station.call("state")
    (pid,) = talkers(station)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(HostError, match="connection was lost"):
        station.call("state")
    assert station.call("state")["current"] is None
    assert talkers(station) != [pid]


def test_two_threads_are_answered_at_once(station: Station) -> None:
    station.call("state")
    (pid,) = talkers(station)
    os.kill(pid, signal.SIGSTOP)
    answers: list[object] = []
    slow = threading.Thread(target=lambda: answers.append(station.call("keygen")["public"]))
    slow.start()
    until(station._talking.locked)
    assert station.call("state")["epoch"] == 0
    assert answers == []
    os.kill(pid, signal.SIGCONT)
    slow.join()
    assert len(answers) == 1


def test_a_process_that_hangs_is_given_up(tmp_path: Path) -> None:
    silent = Dialogue(LocalHost("d1"), ["sleep", "600"])
    with pytest.raises(HostError, match=r"`state ...` did not end within 0\.2 s"):
        silent.ask(["state", str(tmp_path)], None, timeout=0.2)
    assert silent.ended
    silent.close()


def test_what_a_shell_prints_and_late_answers_are_passed_over() -> None:
    script = """
        echo Welcome
        while read line; do
            echo '{"id": 41, "answer": {"late": true}}'
            echo '{"id": 0, "answer": {"right": true}}'
        done
    """
    talk = Dialogue(LocalHost("d1"), ["sh", "-c", script])
    assert talk.ask(["state"], None, timeout=20) == {"right": True}
    talk.close()


def test_requests_are_answered_one_by_one(tmp_path: Path) -> None:
    root = str(tmp_path)
    asked = [
        {"id": 7, "words": ["state", root], "order": None},
        {"id": 8, "words": ["start", root], "order": None},
        {"id": 9, "words": ["verify", root], "order": {"names": []}},
    ]
    (tmp_path / "blobs").mkdir()
    out = io.BytesIO()
    serve(_read, [json.dumps(one).encode() for one in asked], out)
    state, start, verified = map(json.loads, out.getvalue().splitlines())
    assert (state["id"], state["answer"]["current"]) == (7, None)
    assert (start["id"], "a word is missing" in start["what"]) == (8, True)
    assert verified == {"id": 9, "answer": {"bad": []}}
