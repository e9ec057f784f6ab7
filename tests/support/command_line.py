"""edgesplit as a person runs it: the command in a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesplit.operate.demo import free_row

COMMAND = (sys.executable, "-m", "edgesplit")
_PATIENCE = 120.0
"""Seconds that a command may take, however busy this machine is."""

_SMALL_CLUSTER = """\
name: small
defaults: {connection: local, profile: raspberry-pi-3b, memory: 256 MiB, cores: 1}
devices:
"""
_SMALL_MODEL = """\
source: zoo:lenet5
parity: 1
deadline: 3 s
input: {size: [32, 32], channels: gray, scale: 1/255}
pins:
  conv1: {devices: pi1}
  conv2: {devices: pi1}
  fc1: {devices: pi1}
  fc2: {devices: pi1}
  fc3: {split: output, devices: [pi2, pi3], parity: [pi4]}
"""


@dataclass(frozen=True)
class Desk:
    """A folder to work in, with a home for keys and devices of its own."""

    folder: Path
    cache: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def env(self) -> dict[str, str]:
        own = {"EDGESPLIT_CACHE": str(self.cache), "EDGESPLIT_HOME": str(self.home)}
        return {**os.environ, "COLUMNS": "80", **own, **self.extra}

    def run(self, *words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )

    def done(self, *words: str | Path) -> str:
        """Run a command that must succeed; return its stdout."""
        finished = self.run(*words)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def told(self, *words: str | Path) -> str:
        """Run a command that must succeed; return what it tells people, on stderr alone."""
        finished = self.run(*words)
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout == ""
        return finished.stderr

    def json(self, *words: str | Path) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Run a command that must succeed and write one JSON document, without NaN."""
        return strict_json(self.done(*words, "--json"))

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def edit(self, name: str, old: str, new: str, to: str) -> Path:
        """Write a copy of a file with one passage changed."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        return self.write(to, text.replace(old, new, 1))

    def edit_line(self, name: str, old: str, new: str) -> str:
        """Change one passage of a file; return the number of the line that it begins on."""
        before = (self.folder / name).read_text(encoding="utf-8").partition(old)[0]
        self.edit(name, old, new, name)
        return str(before.count("\n") + 1)

    def start(self) -> None:
        """Write the starter files, with ports that are free."""
        self.done("init", ".")
        text = (self.folder / "cluster.yaml").read_text(encoding="utf-8")
        for number, port in enumerate(free_ports(6), 1):
            text = text.replace(f"pi{number}: {{}}", f"pi{number}: {{port: {port}}}", 1)
        self.write("cluster.yaml", text)

    def start_small(self) -> None:
        """Write files as the starter's, but for four devices, which are sooner up."""
        ports = enumerate(free_ports(4), 1)
        devices = "".join(f"  pi{number}: {{port: {port}}}\n" for number, port in ports)
        self.write("cluster.yaml", _SMALL_CLUSTER + devices)
        self.write("model.yaml", _SMALL_MODEL)

    @contextmanager
    def begun(self, *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
        """Yield a command that has just written a line with these words to stderr."""
        with subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stderr is not None
                told = []
                for line in process.stderr:
                    told.append(line)
                    if until in line:
                        break
                assert until in told[-1], "".join(told)
                yield process
            finally:
                # Of a test that fails; one that passes has seen it end.
                process.kill()

    @contextmanager
    def telling(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Yield a command that goes on writing to stdout until it is interrupted."""
        with subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def executors(self) -> list[int]:
        """Return the processes that serve a device of this desk's, wherever its folder is."""
        return [pid for pid in _processes() if self._owns(pid)]

    def _owns(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            env = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        ours = f"EDGESPLIT_HOME={self.home}\0".encode()
        return b"edgesplit.runtime" in words and ours in env + b"\0"


def strict_json(text: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return what a JSON document says; one with NaN or Infinity in it is none."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def refused(finished: subprocess.CompletedProcess[str], code: int, *fragments: str) -> None:
    """Check that a command failed as a person can understand: what, where, and what to try."""
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stderr
    assert "error: " in finished.stderr
    assert "try: " in finished.stderr or "expected" in finished.stderr
    assert finished.stdout == ""
    for fragment in fragments:
        assert fragment in finished.stderr, finished.stderr


def free_ports(count: int) -> list[int]:
    """Return the first of so many pairs of ports that are free: a device takes two in a row.

    As many pairs above them, which a bench takes, are free too. All are below those that the kernel
    gives to whoever asks for none, so that nobody has them by chance meanwhile.
    """
    first = free_row(4 * count)
    return list(range(first, first + 2 * count, 2))


def heard(process: subprocess.Popen[str], *fragments: str) -> str:
    """Return the next line on a command's stdout that has all of these words in it."""
    assert process.stdout is not None
    line = next((line for line in process.stdout if all(f in line for f in fragments)), None)
    assert line is not None, f"it ended without {fragments}"
    return line


def interrupted(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C and check that a command ends as it should."""
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=_PATIENCE)[1]
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file in a folder by relative path, to see that nothing was touched."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
