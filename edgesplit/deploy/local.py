"""This machine as a host: child processes, and blobs that share their bytes where disks can."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from edgesplit.deploy.hosts import Finished, Pipe, Sent, refused, stream_ended, timed_out

_PIECE = 1 << 16
_SECONDS = 2.0
_COPY = 1 << 26
_CANT_COPY_RANGE = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class LocalHost:
    """This machine, as one of its devices."""

    name: str

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Finished:
        """Run a command as a child process, out of reach of the terminal's Ctrl-C."""
        words = _words(argv)
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

    @contextmanager
    def stream(self, argv: Sequence[str]) -> Iterator[Iterator[bytes]]:
        """Run a command as a child process and yield its output; leaving kills what it started."""
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    _words(argv),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                raise refused(self.name, argv[0], error) from error
            left = threading.Event()
            with process:
                try:
                    yield self._pieces(argv, process, said, left)
                finally:
                    left.set()
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)

    def converse(self, argv: Sequence[str]) -> Pipe:
        """Start a child process and return its streams."""
        try:
            return ProcessPipe(_words(argv))
        except OSError as error:
            raise refused(self.name, argv[0], error) from error

    def _pieces(
        self,
        argv: Sequence[str],
        process: subprocess.Popen[bytes],
        said: IO[bytes],
        left: threading.Event,
    ) -> Iterator[bytes]:
        out = cast("BufferedReader", process.stdout)
        with suppress(ValueError):  # The one who left has closed the files.
            yield from iter(partial(out.read1, _PIECE), b"")
            if process.wait() and not left.is_set():
                said.seek(0)
                raise stream_ended(self.name, argv, process.returncode, said.read(_PIECE))

    def put(self, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Copy files; never link them, or a flipped byte here would be one in the store too."""
        for path, source in files.items():
            target = Path(path)
            try:
                # Not written over: it could be a link that an earlier version left.
                target.unlink(missing_ok=True)
                _place(source, target, sent)
            except OSError as error:
                raise refused(self.name, path, error) from error

    def fetch(self, path: str) -> bytes:
        """Read a file."""
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise refused(self.name, path, error) from error

    def close(self) -> None:
        """Nothing is open."""


class ProcessPipe:
    """The streams of a child process, which is out of reach of the terminal's Ctrl-C."""

    def __init__(self, words: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        pipe = cast("IO[bytes]", self._process.stdin)
        try:
            pipe.write(data)
            pipe.flush()
        except OSError as error:
            raise EOFError from error

    def receive(self) -> bytes:
        """Return what it has written."""
        return os.read(cast("IO[bytes]", self._process.stdout).fileno(), _PIECE)

    def said(self) -> bytes:
        """Return what it wrote to standard error."""
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read(_PIECE)

    def cut(self) -> None:
        """Kill it."""
        self._process.kill()

    def finish(self) -> None:
        """Close its standard input."""
        with suppress(BrokenPipeError):
            cast("IO[bytes]", self._process.stdin).close()

    def close(self) -> None:
        """Finish, and wait until it has ended; what it is in the middle of goes on."""
        self.finish()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS)
        cast("IO[bytes]", self._process.stdout).close()
        self._errors.close()


def _words(argv: Sequence[str]) -> list[str]:
    return [str(Path(word).expanduser()) if word[:2] == "~/" else word for word in argv]


def _place(source: Path | bytes, target: Path, sent: Sent) -> None:
    if isinstance(source, bytes):
        target.write_bytes(source)
        sent(len(source))
        return
    try:
        _share(source, target, sent)
    except OSError as error:
        if error.errno not in _CANT_COPY_RANGE:
            raise
        shutil.copyfile(source, target)
        sent(target.stat().st_size)


def _share(source: Path, target: Path, sent: Sent) -> None:
    """Copy within the kernel: file systems that can (btrfs, XFS) share the bytes until a write."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while count := os.copy_file_range(reader.fileno(), writer.fileno(), _COPY):
            sent(count)
