"""What a service manager hears of a supervisor, over real datagram sockets."""

from __future__ import annotations

import math
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from device_folder import PATIENCE, slot_at, supervisor_argv

from edgesplit.runtime.notify import Notifier
from edgesplit.runtime.root import Slot
from edgesplit.runtime.state import read_state

SLEEPER = "import signal; signal.pause()"


class Manager:
    """The receiving end of sd_notify(3)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE)
        self._socket.bind("\0" + address[1:] if address[0] == "@" else address)

    def hear(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"@edgesplit-{secrets.token_hex(8)}"
    manager = Manager(name if request.param == "abstract" else str(tmp_path / "notify"))
    yield manager
    manager.close()


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    return slot_at(tmp_path)


def supervised(
    stack: ExitStack, slot: Slot, program: str, variables: dict[str, str]
) -> subprocess.Popen[bytes]:
    argv = supervisor_argv(slot.folder, program)
    child = stack.enter_context(subprocess.Popen(argv, env={**os.environ, **variables}))
    stack.callback(child.kill)
    return child


def test_a_manager_hears_of_start_life_and_end(slot: Slot, manager: Manager) -> None:
    variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "40000"}
    with ExitStack() as stack:
        child = supervised(stack, slot, SLEEPER, variables)
        assert manager.hear() == "READY=1"
        state = read_state(slot)
        assert state is not None
        assert state.executor is not None
        assert [manager.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0
        heard = iter(manager.hear, "STOPPING=1")
        assert set(heard) <= {"WATCHDOG=1"}


def test_without_a_watchdog_there_are_no_signs_of_life(slot: Slot, manager: Manager) -> None:
    with ExitStack() as stack:
        child = supervised(stack, slot, SLEEPER, {"NOTIFY_SOCKET": manager.address})
        assert manager.hear() == "READY=1"
        child.send_signal(signal.SIGHUP)
        child.send_signal(signal.SIGTERM)
        assert manager.hear() == "STOPPING=1"


def test_a_manager_that_left_does_not_stop_a_supervisor(slot: Slot, tmp_path: Path) -> None:
    variables = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1000000"}
    with ExitStack() as stack:
        child = supervised(stack, slot, "raise SystemExit(2)", variables)
        assert child.wait(PATIENCE) == 2


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, math.inf),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "0"}, math.inf),
        ({"WATCHDOG_USEC": "soon"}, math.inf),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, math.inf),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
    ],
)
def test_signs_of_life_come_twice_as_often_as_wanted(
    variables: dict[str, str], seconds: float
) -> None:
    assert Notifier.of(variables).interval == seconds
