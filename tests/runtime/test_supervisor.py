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
from device_folder import slot_at, supervisor_argv
from relays import until

from edgesplit.errors import RuntimeFault
from edgesplit.runtime import control
from edgesplit.runtime.logs import tail
from edgesplit.runtime.processes import Process
from edgesplit.runtime.root import Slot
from edgesplit.runtime.state import State, read_state
from edgesplit.runtime.supervisor import LOG_BYTES

SLEEPER = "import signal; print('up', flush=True); signal.pause()"

Start = Callable[[str], State]


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    slot = slot_at(tmp_path)
    yield slot
    control.stop_slot(slot)


@pytest.fixture
def start(slot: Slot) -> Start:
    def begin(program: str) -> State:
        state = read_state(slot)
        if state is None or not state.supervisor.alive:
            control.spawn(slot, supervisor_argv(slot.folder, program))
        return state_of(slot)

    return begin


def state_of(slot: Slot) -> State:
    state = read_state(slot)
    assert state is not None
    return state


def executor_of(slot: Slot) -> Process:
    executor = state_of(slot).executor
    assert executor is not None
    return executor


def test_a_killed_executor_is_started_again(slot: Slot, start: Start) -> None:
    start(SLEEPER)
    first = executor_of(slot)
    control.signal_executor(slot, signal.SIGKILL)
    until(lambda: state_of(slot).restarts == 1)
    assert executor_of(slot).alive
    assert executor_of(slot) != first
    assert state_of(slot).last_exit == -signal.SIGKILL


@pytest.mark.parametrize("code", [0, 2])
def test_an_executor_that_means_to_end_is_not_started_again(
    slot: Slot, start: Start, code: int
) -> None:
    start(f"raise SystemExit({code})")
    supervisor = state_of(slot).supervisor
    assert supervisor.wait(30)
    state = state_of(slot)
    assert (state.status, state.restarts, state.last_exit) == ("stopped", 0, code)


def test_crashes_back_off(slot: Slot, start: Start) -> None:
    start("import time; print(time.monotonic()); raise SystemExit(1)")
    until(lambda: slot.log.read_text().count("\n") >= 4)
    times = [float(line) for line in slot.log.read_text().split()]
    gaps = [b - a for a, b in pairwise(times)]
    assert [gap >= least for gap, least in zip(gaps, (0.2, 0.4, 0.8), strict=False)] == [True] * 3


def test_a_held_executor_stays_dead_until_let_go(slot: Slot, start: Start) -> None:
    start(SLEEPER)
    control.hold(slot)
    control.signal_executor(slot, signal.SIGKILL)
    until(lambda: state_of(slot).status == "held")
    assert state_of(slot).executor is None
    with pytest.raises(RuntimeFault, match="no executor runs"):
        control.signal_executor(slot, signal.SIGKILL)
    control.let_go(slot)
    until(lambda: state_of(slot).status == "running")
    assert executor_of(slot).alive


def test_two_supervisors_never_share_a_slot(slot: Slot, start: Start) -> None:
    first = start(SLEEPER)
    (slot.folder / "state.json").rename(slot.folder / "aside.json")
    with pytest.raises(RuntimeFault, match="did not start"):
        control.spawn(slot, supervisor_argv(slot.folder, SLEEPER))
    (slot.folder / "aside.json").rename(slot.folder / "state.json")
    assert state_of(slot) == first
    assert first.supervisor.alive


def test_stopping_ends_supervisor_and_executor_and_nothing_else(slot: Slot, start: Start) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL) as bystander:
        start(SLEEPER)
        executor, supervisor = executor_of(slot), state_of(slot).supervisor
        control.stop_slot(slot)
        assert not executor.alive
        assert not supervisor.alive
        assert bystander.poll() is None
        bystander.kill()


def test_a_paused_executor_can_be_stopped(slot: Slot, start: Start) -> None:
    start(SLEEPER)
    control.signal_executor(slot, signal.SIGSTOP)
    control.stop_slot(slot)
    assert state_of(slot).last_exit == -signal.SIGTERM


def test_an_executor_dies_with_its_supervisor(slot: Slot, start: Start) -> None:
    state = start(SLEEPER)
    executor = executor_of(slot)
    state.supervisor.send(signal.SIGKILL)
    assert executor.wait(30)
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


def test_the_log_stays_bounded_while_the_executor_writes(slot: Slot, start: Start) -> None:
    start(
        "import signal\n"
        f"print('x' * {LOG_BYTES + 1}, end='', flush=True)\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('after', flush=True))\n"
        "while True: signal.pause()"
    )
    until(lambda: slot.log.stat().st_size > LOG_BYTES)
    control.let_go(slot)
    until(lambda: slot.log.with_suffix(".log.1").exists() and slot.log.stat().st_size == 0)
    control.signal_executor(slot, signal.SIGUSR1)
    until(lambda: slot.log.read_text() == "after\n")
    assert tail(slot.log, 5) == {"lines": ["after"]}


def test_a_supervisor_that_cannot_start_says_why(slot: Slot) -> None:
    with pytest.raises(RuntimeFault, match="SyntaxError"):
        control.spawn(slot, [sys.executable, "-c", "this is no Python"])
