"""One executor in a process of its own, with a watch on a folder instead of a device's releases.

Arguments: program, secret, folder of blobs, folder of the watch, seconds to stay superseded and
idle, seconds to stay a candidate, names of blobs to check.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from edgesplit.runtime.executor import run
from edgesplit.runtime.program import Program
from edgesplit.runtime.succession import LIMITS, Limits

SCRIPT = str(Path(__file__))


@dataclass(frozen=True)
class FolderWatch:
    """The record of the current release is the file `current.json`."""

    folder: Path
    epoch: int

    @property
    def current(self) -> int | None:
        try:
            return int(json.loads(self.record())["epoch"])
        except FileNotFoundError:
            return None

    def superseded(self) -> bool:
        return self.current not in (None, self.epoch)

    def candidate(self) -> bool:
        current = self.current
        return current is None or current < self.epoch

    def record(self) -> bytes:
        return (self.folder / "current.json").read_bytes()


def commit(folder: Path, record: str) -> None:
    """Make the release of this record the current one."""
    partial = folder / "current.part"
    partial.write_text(record)
    partial.replace(folder / "current.json")


def main(program: str, secret: str, blobs: str, folder: str = "", *rest: str) -> int:
    loaded = Program.from_json(Path(program).read_text())
    watch = FolderWatch(Path(folder), loaded.epoch) if folder else None
    limits = Limits(*map(float, rest[:2])) if rest else LIMITS
    key = Path(secret).read_bytes()
    return run(loaded, key, Path(blobs), names=rest[2:], watch=watch, limits=limits)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
