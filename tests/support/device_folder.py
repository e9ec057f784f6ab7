"""A device's folder as a controller leaves it, and the device side's verbs as real processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relays import free_port, relay_table

from edgesplit.deploy.code import device_code
from edgesplit.runtime.control import stop_slot
from edgesplit.runtime.program import Program
from edgesplit.runtime.release import Manifest
from edgesplit.runtime.root import Root, Slot

DEVICE = "d"
PATIENCE = 60.0


@dataclass(frozen=True)
class Order:
    """A release in the form in which it is staged."""

    manifest: Manifest
    program: Program
    record: str
    before: str = ""

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def plain(self) -> dict[str, Any]:
        return {
            "manifest": asdict(self.manifest),
            "program": self.program.to_json(),
            "record": self.record,
            "before": self.before,
        }


@dataclass(frozen=True)
class DeviceFolder:
    """One device: real verbs, and real executors of a table without a model."""

    root: Root
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    @classmethod
    def made(cls, folder: Path) -> DeviceFolder:
        """Return a folder with mark and code, as after the first contact."""
        device = cls(Root(folder))
        device.root.blobs.mkdir(parents=True)
        device.root.mark.touch()
        code = device_code()
        (device.root.blobs / code.name).write_bytes(code.content)
        return device

    def put(self, content: bytes, suffix: str) -> str:
        """Place a blob; return its name."""
        name = f"{hashlib.sha256(content).hexdigest()}.{suffix}"
        (self.root.blobs / name).write_bytes(content)
        return name

    def order(
        self,
        epoch: int,
        *blobs: str,
        key: str = "",
        before: str = "",
        python: str = sys.executable,
    ) -> Order:
        """Return a release whose executor really runs, on a port of its own."""
        table = relay_table((DEVICE,))
        own = self.put(table.to_json().encode(), "json")
        bind = f"tcp://127.0.0.1:{free_port('127.0.0.1')}"
        gateway = "A" * 40
        program = Program("c", DEVICE, epoch, table.digest, bind, {}, (gateway,), key=key)
        digest = hashlib.sha256(program.to_json().encode()).hexdigest()
        manifest = Manifest(digest, device_code().digest, python, (own, *blobs))
        return Order(manifest, program, json.dumps({"epoch": epoch}), before)

    def staged(self, epoch: int, *blobs: str, before: str = "", key: str | None = None) -> str:
        """Stage a release by its verb, with the device's own key; return its digest."""
        own = key or self.call("keygen")["public"]
        order = self.order(epoch, *blobs, key=own, before=before)
        return str(self.call("stage", order=order.plain)["release"])

    def argv(self, verb: str, *options: str) -> list[str]:
        words = ("-P", "-m", "edgesplit.runtime", verb, str(self.root.folder))
        return [*self.prefix, sys.executable, *words, *options]

    def env(self) -> dict[str, str]:
        code = self.root.blobs / device_code().name
        return {**os.environ, "PYTHONPATH": str(code), **self.environment}

    def run(
        self, verb: str, *options: str, order: object = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a verb to its end."""
        return subprocess.run(
            self.argv(verb, *options),
            input=b"" if order is None else json.dumps(order).encode(),
            capture_output=True,
            env=self.env(),
            timeout=PATIENCE,
            check=False,
        )

    def call(self, verb: str, *options: str, order: object = None) -> dict[str, Any]:
        """Run a verb that must succeed; return its answer."""
        done = self.run(verb, *options, order=order)
        assert done.returncode == 0, done.stderr.decode()
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def refused(self, verb: str, *options: str, order: object = None) -> str:
        """Run a verb that must fail with exit code 1; return what it said."""
        done = self.run(verb, *options, order=order)
        assert done.returncode == 1, done.stdout
        return done.stderr.decode()

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process by the pid that it has where the verbs run."""
        subprocess.run([*self.prefix, "kill", f"-{number}", str(pid)], check=True)

    def log(self, number: int) -> str:
        path = self.root.slot(number).log
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        """End everything that runs in this folder."""
        for slot in self.root.slots:
            stop_slot(slot)


def supervisor_argv(folder: Path, program: str) -> Sequence[str]:
    """Return a supervisor of any Python program, in the way the verb supervises an executor."""
    return [sys.executable, "-c", _SUPERVISE, str(folder), program]


def slot_at(folder: Path) -> Slot:
    """Return a slot with its folder."""
    slot = Root(folder).slot(0)
    slot.folder.mkdir(parents=True)
    return slot


_SUPERVISE = """
import os, sys
from pathlib import Path
from edgesplit.runtime.notify import Notifier
from edgesplit.runtime.root import Slot
from edgesplit.runtime.supervisor import supervise
pipe = int(sys.argv[4]) if sys.argv[3:4] == ["--ready"] else None
command = [sys.executable, "-c", sys.argv[2]]
sys.exit(supervise(Slot(Path(sys.argv[1])), command, Notifier.of(os.environ, pipe)))
"""
