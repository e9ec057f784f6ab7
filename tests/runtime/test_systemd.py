"""Supervision by a real systemd user manager."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from device_folder import DeviceFolder
from relays import local_device, until
from user_manager import UserManager, lacking, user_manager

from edgesplit.deploy.unit import unit_text

if reason := lacking():
    if os.environ.get("EDGESPLIT_REQUIRE_SYSTEMD"):
        raise RuntimeError(reason)
    pytest.skip(reason, allow_module_level=True)


# In namespaces nobody tells systemd that a cgroup has become empty, so it waits this long.
IMPATIENT = {"TimeoutStopSec=15": "TimeoutStopSec=1", "RestartSec=2": "RestartSec=0"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def manager(home: Path) -> Iterator[UserManager]:
    with user_manager(home) as manager:
        yield manager


def on(device: DeviceFolder, manager: UserManager) -> DeviceFolder:
    """Return the device as seen from beside the manager: its verbs run there."""
    return replace(device, prefix=manager.prefix)


@pytest.fixture
def device(tmp_path: Path, manager: UserManager) -> DeviceFolder:
    return on(DeviceFolder.made(tmp_path / "root"), manager)


def start(
    device: DeviceFolder, digest: str, edits: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Start a release with the unit that a controller sends, some words of it replaced."""
    text = unit_text(replace(local_device("d", device.root.folder), connection="ssh"))
    assert text is not None
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    return device.call("start", digest, order={"unit": text})


def slot(device: DeviceFolder, number: int) -> dict[str, Any]:
    found: dict[str, Any] = device.call("state")["slots"][str(number)]
    return found


def serves(device: DeviceFolder, epoch: int, times: int = 1) -> None:
    until(lambda: device.log(epoch % 2).count(f"serves epoch {epoch}") == times)


def unit(number: int) -> str:
    return f"edgesplit-c-d-{number}.service"


def test_a_release_lives_as_a_unit(device: DeviceFolder, manager: UserManager) -> None:
    old, new = device.staged(1), device.staged(2)
    answer = start(device, old)
    serves(device, 1)
    assert answer["running"]
    assert device.call("state")["unit"] is True
    assert manager.property(unit(1), "MainPID") == str(answer["supervisor"]["pid"])
    assert manager.systemctl("is-enabled", unit(1)) == "disabled"
    device.call("commit", old)
    assert manager.systemctl("is-enabled", unit(1)) == "enabled"
    start(device, new)
    serves(device, 2)
    device.call("commit", new)
    assert [manager.systemctl("is-enabled", unit(n)) for n in (0, 1)] == ["enabled", "disabled"]
    device.call("stop", "1")
    assert [manager.systemctl("is-active", unit(n)) for n in (0, 1)] == ["active", "inactive"]
    assert not (manager.home / ".config/systemd/user" / unit(1)).exists()
    device.call("purge")
    assert not [*(manager.home / ".config/systemd/user").rglob("*.service")]
    assert not device.root.folder.exists()


def test_a_killed_supervisor_is_started_again(device: DeviceFolder, manager: UserManager) -> None:
    start(device, device.staged(1), IMPATIENT)
    serves(device, 1)
    manager.systemctl("kill", "--kill-whom=main", "--signal=KILL", unit(1))
    serves(device, 1, times=2)
    assert slot(device, 1)["supervised"]
    assert manager.property(unit(1), "NRestarts") == "1"


def test_a_hung_supervisor_is_replaced(device: DeviceFolder, manager: UserManager) -> None:
    start(device, device.staged(1), {**IMPATIENT, "WatchdogSec=60": "WatchdogSec=1"})
    serves(device, 1)
    manager.systemctl("kill", "--kill-whom=main", "--signal=STOP", unit(1))
    serves(device, 1, times=2)


def test_no_restart_defeats_a_hold(device: DeviceFolder, manager: UserManager) -> None:
    digest = device.staged(1)
    first = start(device, digest)
    device.call("commit", digest)
    device.call("kill", "held")
    until(lambda: slot(device, 1)["status"] == "held")
    assert manager.systemctl("is-active", unit(1)) == "active"
    assert slot(device, 1)["supervisor"] == first["supervisor"]
    device.call("release")
    until(lambda: slot(device, 1)["running"])


def test_a_configuration_error_ends_the_unit_for_good(
    device: DeviceFolder, manager: UserManager
) -> None:
    start(device, device.staged(1, key="K" * 40))
    until(lambda: manager.systemctl("is-active", unit(1)) == "failed")
    assert manager.property(unit(1), "ExecMainStatus") == "2"
    assert manager.property(unit(1), "NRestarts") == "0"
    assert slot(device, 1)["last_exit"] == 2


def test_an_executor_that_is_done_ends_the_unit_for_good(
    device: DeviceFolder, manager: UserManager
) -> None:
    digest = device.staged(1)
    start(device, digest)
    serves(device, 1)
    pid = slot(device, 1)["executor"]["pid"]
    device.signal(pid, signal.SIGTERM)
    until(lambda: manager.systemctl("is-active", unit(1)) == "inactive")
    assert manager.property(unit(1), "NRestarts") == "0"
    assert slot(device, 1)["last_exit"] == 0
    device.call("start", digest)
    serves(device, 1, times=2)
    assert manager.systemctl("is-active", unit(1)) == "active"


def test_a_unit_that_systemd_cannot_run_gives_way_to_our_own_supervision(
    device: DeviceFolder, manager: UserManager
) -> None:
    impossible = {"UMask=": "RootDirectory=/nowhere\nUMask="}
    assert start(device, device.staged(1), impossible)["running"]
    serves(device, 1)
    assert device.call("state")["unit"] is False
    assert "supervised without systemd" in device.log(1)
    assert not (manager.home / ".config/systemd/user" / unit(1)).exists()


def test_a_power_cycle_starts_what_is_current(tmp_path: Path, home: Path) -> None:
    folder = DeviceFolder.made(tmp_path / "root")
    with ExitStack() as power:
        device = on(folder, power.enter_context(user_manager(home)))
        current, candidate = device.staged(1), device.staged(2)
        start(device, current)
        device.call("commit", current)
        start(device, candidate)
        serves(device, 2)
    for place in folder.root.slots:
        place.boot.write_text("another boot")
    with user_manager(home) as manager:
        device = on(folder, manager)
        serves(device, 1, times=2)
        assert manager.property(unit(1), "MainPID") == str(slot(device, 1)["supervisor"]["pid"])
        assert not slot(device, 0)["supervised"]
