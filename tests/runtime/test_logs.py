"""Logs: the last lines, and all that come after, also while the log is cut."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from device_folder import PATIENCE, DeviceFolder

from edgesplit.runtime.logs import TAIL_BYTES, tail


@pytest.fixture
def device(tmp_path: Path) -> DeviceFolder:
    device = DeviceFolder.made(tmp_path / "root")
    device.root.slot(1).folder.mkdir(parents=True)
    return device


@pytest.fixture
def log(device: DeviceFolder) -> Path:
    return device.root.slot(1).log


@pytest.fixture
def following(device: DeviceFolder) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        device.argv("follow", "2", "--slot", "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=device.env(),
    ) as process:
        yield process
        process.kill()


def lines(process: subprocess.Popen[bytes], count: int) -> list[str]:
    out = pipe(process.stdout)
    return [out.readline().decode().rstrip("\n") for _ in range(count)]


def pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None
    return end


def write(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_the_tail_is_the_last_lines_and_bounded(log: Path) -> None:
    assert tail(log, 3) == {"lines": []}
    write(log, "a\nb\nc\n")
    assert tail(log, 2) == {"lines": ["b", "c"]}
    assert tail(log, 0) == {"lines": []}
    write(log, "x" * 2 * TAIL_BYTES)
    assert tail(log, 5) == {"lines": ["x" * TAIL_BYTES]}


def test_following_shows_the_last_lines_then_new_ones(
    log: Path, following: subprocess.Popen[bytes]
) -> None:
    write(log, "a\nb\nc\n")
    assert lines(following, 2) == ["b", "c"]
    write(log, "d\n")
    assert lines(following, 1) == ["d"]


def test_following_survives_a_rotation_without_losing_a_line(
    log: Path, following: subprocess.Popen[bytes]
) -> None:
    write(log, f"{'a' * 4096}\n")
    assert lines(following, 1) == ["a" * 4096]
    following.send_signal(signal.SIGSTOP)  # What comes now is seen after the rotation only.
    write(log, "b\nc\n")
    log.with_suffix(".log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    write(log, "d\n")
    following.send_signal(signal.SIGCONT)
    assert lines(following, 3) == ["b", "c", "d"]


def test_following_ends_when_nobody_listens(
    device: DeviceFolder, log: Path, following: subprocess.Popen[bytes]
) -> None:
    write(log, "a\n")
    assert lines(following, 1) == ["a"]
    pipe(following.stdin).close()
    assert following.wait(PATIENCE) == 0
    with subprocess.Popen(
        device.argv("follow", "2", "--slot", "1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=device.env(),
    ) as other:
        assert lines(other, 1) == ["a"]
        pipe(other.stdout).close()
        assert other.wait(PATIENCE) == 0
