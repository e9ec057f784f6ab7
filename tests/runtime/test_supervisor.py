from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from relays import until

from edgesplit.errors import RuntimeFault
from edgesplit.runtime import control
from edgesplit.runtime.processes import Process
from edgesplit.runtime.release import Root
from edgesplit.runtime.supervisor import LOG_BYTES, State, read_state

SLEEPER = "import signal; print('up', flush=True); signal.pause()"
# Supervises any command in the way the verb does, with the pipe's descriptor as last word.
SUPERVISE = """
import os, sys
from pathlib import Path
from edgesplit.runtime.release import Root
from edgesplit.runtime.supervisor import supervise
def tell():
    os.write(int(sys.argv[3]), b".")
    os.close(int(sys.argv[3]))
supervise(Root(Path(sys.argv[1])), [sys.executable, "-c", sys.argv[2]], "r1", tell)
"""

Start = Callable[[str], State]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    root = Root(tmp_path)
    yield root
    control.stop(root)


@pytest.fixture
def start(root: Root) -> Start:
    def begin(program: str) -> State:
        command = [sys.executable, "-c", SUPERVISE, str(root.folder), program]
        control.start(root, command)
        return state_of(root)

    return begin


def state_of(root: Root) -> State:
    state = read_state(root)
    assert state is not None
    return state


def executor_of(root: Root) -> Process:
    executor = state_of(root).executor
    assert executor is not None
    return executor


def test_a_killed_executor_is_started_again(root: Root, start: Start) -> None:
    start(SLEEPER)
    first = executor_of(root)
    control.signal_executor(root, signal.SIGKILL)
    until(lambda: state_of(root).restarts == 1)
    assert executor_of(root).alive
    assert executor_of(root) != first
    assert state_of(root).last_exit == -signal.SIGKILL


@pytest.mark.parametrize("code", [0, 2])
def test_an_executor_that_means_to_end_is_not_started_again(
    root: Root, start: Start, code: int
) -> None:
    start(f"raise SystemExit({code})")
    supervisor = state_of(root).supervisor
    assert supervisor.wait(30)
    state = state_of(root)
    assert (state.status, state.restarts, state.last_exit) == ("stopped", 0, code)


def test_crashes_back_off(root: Root, start: Start) -> None:
    start("import time; print(time.monotonic()); raise SystemExit(1)")
    until(lambda: root.log.read_text().count("\n") >= 4)
    times = [float(line) for line in root.log.read_text().split()]
    gaps = [b - a for a, b in pairwise(times)]
    assert [gap >= least for gap, least in zip(gaps, (0.2, 0.4, 0.8), strict=False)] == [True] * 3


def test_a_held_executor_stays_dead_until_let_go(root: Root, start: Start) -> None:
    start(SLEEPER)
    control.hold(root)
    control.signal_executor(root, signal.SIGKILL)
    until(lambda: state_of(root).status == "held")
    assert state_of(root).executor is None
    with pytest.raises(RuntimeFault, match="no executor runs"):
        control.signal_executor(root, signal.SIGKILL)
    control.let_go(root)
    until(lambda: state_of(root).status == "running")
    assert executor_of(root).alive


def test_starting_twice_is_starting_once(start: Start) -> None:
    first = start(SLEEPER)
    assert start(SLEEPER) == first


def test_two_supervisors_never_share_a_root(root: Root, start: Start) -> None:
    first = start(SLEEPER)
    (root.run / "state.json").rename(root.run / "aside.json")
    with pytest.raises(RuntimeFault, match="did not start"):
        start(SLEEPER)
    (root.run / "aside.json").rename(root.run / "state.json")
    assert state_of(root) == first
    assert first.supervisor.alive


def test_stopping_ends_supervisor_and_executor_and_nothing_else(root: Root, start: Start) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL) as bystander:
        start(SLEEPER)
        executor, supervisor = executor_of(root), state_of(root).supervisor
        answer = control.stop(root)
        assert (answer["supervised"], answer["running"]) == (False, False)
        assert not executor.alive
        assert not supervisor.alive
        assert bystander.poll() is None
        bystander.kill()


def test_a_paused_executor_can_be_stopped(root: Root, start: Start) -> None:
    start(SLEEPER)
    control.signal_executor(root, signal.SIGSTOP)
    control.stop(root)
    assert state_of(root).last_exit == -signal.SIGTERM


def test_an_executor_dies_with_its_supervisor(root: Root, start: Start) -> None:
    state = start(SLEEPER)
    executor = executor_of(root)
    state.supervisor.send(signal.SIGKILL)
    assert executor.wait(30)
    assert control.describe(root)["status"] == "stopped"
    assert start(SLEEPER).supervisor != state.supervisor


def test_a_reused_pid_is_not_ours() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL) as other:
        impostor = Process(other.pid, Process.of(other.pid).started - 1)
        assert not impostor.alive
        assert not impostor.send(signal.SIGKILL)
        assert impostor.wait(0)
        assert other.poll() is None
        other.kill()


def test_a_zombie_is_not_alive() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    process = Process.of(child)
    assert process.wait(30)
    alive = process.alive
    with suppress(ChildProcessError):
        os.waitpid(child, 0)
    assert not alive


def test_the_log_stays_bounded_while_the_executor_writes(root: Root, start: Start) -> None:
    start(
        "import signal\n"
        f"print('x' * {LOG_BYTES + 1}, end='', flush=True)\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('after', flush=True))\n"
        "while True: signal.pause()"
    )
    until(lambda: root.log.stat().st_size > LOG_BYTES)
    control.let_go(root)
    until(lambda: root.log.with_suffix(".log.1").exists() and root.log.stat().st_size == 0)
    control.signal_executor(root, signal.SIGUSR1)
    until(lambda: root.log.read_text() == "after\n")
    assert control.tail(root, 5) == {"lines": ["after"]}


def test_a_supervisor_that_cannot_start_says_why(root: Root) -> None:
    with pytest.raises(RuntimeFault, match="SyntaxError"):
        control.start(root, [sys.executable, "-c", "this is no Python"])
