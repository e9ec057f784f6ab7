"""This machine as a host: child processes, and blobs as links where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesplit.deploy.hosts import Finished, Sent, refused, timed_out


@dataclass(frozen=True, slots=True)
class LocalHost:
    """This machine, as one of its devices."""

    name: str

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Finished:
        """Run a command as a child process, out of reach of the terminal's Ctrl-C."""
        words = [str(Path(word).expanduser()) if word[:2] == "~/" else word for word in argv]
        try:
            done = subprocess.run(
                words,
                input=stdin or b"",
                capture_output=True,
                timeout=timeout,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise timed_out(self.name, argv, timeout) from None
        except OSError as error:
            return Finished(127, b"", f"{words[0]}: {error.strerror}".encode())
        return Finished(done.returncode, done.stdout, done.stderr)

    def put(self, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Link files where the file system can, else copy."""
        for path, source in files.items():
            target = Path(path)
            try:
                target.unlink(missing_ok=True)
                _place(source, target)
            except OSError as error:
                raise refused(self.name, path, error) from error
            sent(target.stat().st_size)

    def fetch(self, path: str) -> bytes:
        """Read a file."""
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise refused(self.name, path, error) from error

    def close(self) -> None:
        """Nothing is open."""


def _place(source: Path | bytes, target: Path) -> None:
    if isinstance(source, bytes):
        target.write_bytes(source)
        return
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links; a full disk fails the copy too, and says so.
        shutil.copyfile(source, target)
