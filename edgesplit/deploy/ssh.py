"""A host over SSH: commands and files over one connection, with deadlines and reasons."""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import paramiko
from fabric import Connection

from edgesplit.deploy.hostkeys import Accept, shown_keys, trust_only, verify_keys
from edgesplit.deploy.hosts import (
    Ask,
    Finished,
    Passport,
    Pipe,
    Sent,
    refused,
    stalled,
    stream_ended,
    timed_out,
)
from edgesplit.deploy.login import (
    Limits,
    close_connection,
    cut_connection,
    hops,
    make_connection,
    open_connection,
)
from edgesplit.deploy.patience import Patience
from edgesplit.deploy.pipes import ChannelPipe
from edgesplit.deploy.upload import upload
from edgesplit.errors import HostError
from edgesplit.spec.cluster import Device

_PIECE = 1 << 16

# Paramiko logs what it also raises; without a handler Python would print it to standard error.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshHost:
    """A device over SSH; it connects on first use and again when the connection was lost.

    Args:
        device: The device.
        ask: Decides on unknown host keys where the cluster file says `host_keys: ask`.
        keys: Lines of known hosts; where there are any, no other keys and no files count.
        limits: How long to wait.
    """

    def __init__(
        self,
        device: Device,
        ask: Ask | None = None,
        keys: Sequence[str] = (),
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self.name = device.name
        self._device, self._ask, self._keys, self._limits = device, ask, keys, limits
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Finished:
        """Run a command."""
        connection = self._open()
        late = timed_out(self.name, argv, timeout)
        with self._deadline(connection, timeout, late), _session(connection) as channel:
            finished = _execute(channel, argv, stdin or b"")
            _check_alive(connection)  # Else a cut would look like a command that a signal ended.
            return finished

    @contextmanager
    def stream(self, argv: Sequence[str]) -> Iterator[Iterator[bytes]]:
        """Start a command and yield its output; leaving closes its standard input."""
        connection, left = self._open(), threading.Event()
        late = timed_out(self.name, argv, self._limits.silence)
        with self._deadline(connection, self._limits.silence, late):
            channel = connection.transport.open_session()
            channel.exec_command(_line(argv))
        try:
            yield self._pieces(argv, connection, channel, left)
        finally:
            left.set()
            channel.close()

    def converse(self, argv: Sequence[str]) -> Pipe:
        """Start a command and return its streams."""
        connection = self._open()
        late = timed_out(self.name, argv, self._limits.silence)
        with self._deadline(connection, self._limits.silence, late):
            channel = connection.transport.open_session()
            channel.exec_command(_line(argv))
            return ChannelPipe(channel, lambda: cut_connection(connection))

    def put(self, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Write files over SFTP, each from where an earlier try ended."""
        connection, silence = self._open(), self._limits.silence
        with self._deadline(connection, silence, stalled(self.name, silence)) as patience:

            def moved(count: int) -> None:
                patience.moved()
                sent(count)

            with closing(connection.client.open_sftp()) as sftp:
                for path, source in files.items():
                    with self._refusals(connection, path):
                        upload(sftp, path, source, moved)

    def fetch(self, path: str) -> bytes:
        """Read a file."""
        connection, silence = self._open(), self._limits.silence
        with (
            self._deadline(connection, silence, stalled(self.name, silence)),
            closing(connection.client.open_sftp()) as sftp,
            self._refusals(connection, path),
            sftp.open(path, "rb") as file,
        ):
            content: bytes = file.read()
            return content

    def passport(self) -> Passport:
        """Return what another process needs to log in to the very same host."""
        connection = self._open()
        return Passport(self._device, tuple(shown_keys(hops(connection))))

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._connection is not None:
                close_connection(self._connection)
                self._connection = None

    def _open(self) -> Connection:
        with self._lock:
            if self._connection is None or not self._connection.is_connected:
                self._connection = self._connect()
            return self._connection

    def _connect(self) -> Connection:
        connection = make_connection(self._device, self._limits)
        if self._keys:
            trust_only(hops(connection), self._keys)
        else:
            verify_keys(connection, self._device.ssh.known_hosts, self._acceptance())
        open_connection(connection, self.name, self._limits)
        return connection

    def _acceptance(self) -> Accept:
        ask = self._ask
        if self._device.ssh.host_keys == "accept-new":
            return lambda _: True
        if self._device.ssh.host_keys == "ask" and ask is not None:
            return lambda fingerprint: ask(self.name, fingerprint)
        return lambda _: False

    @contextmanager
    def _deadline(
        self, connection: Connection, seconds: float, late: HostError
    ) -> Iterator[Patience]:
        """Cut the connection when patience ends, and tell that as `late`, other cuts as such."""
        with Patience(seconds, lambda: cut_connection(connection)) as patience:
            try:
                yield patience
            except (paramiko.SSHException, EOFError, OSError) as error:
                self._forget(connection)
                if patience.expired:
                    raise late from error
                raise self._lost(error) from error

    @contextmanager
    def _refusals(self, connection: Connection, path: str) -> Iterator[None]:
        """Tell what the device refuses apart from a cut, of which Paramiko speaks alike."""
        try:
            yield
        except TimeoutError:
            raise
        except OSError as error:
            _check_alive(connection)
            raise refused(self.name, path, error) from error

    def _pieces(
        self,
        argv: Sequence[str],
        connection: Connection,
        channel: paramiko.Channel,
        left: threading.Event,
    ) -> Iterator[bytes]:
        while piece := channel.recv(_PIECE):
            yield piece
        if left.is_set():
            return
        if not connection.transport.is_active():
            self._forget(connection)
            raise self._lost(EOFError())
        said = channel.makefile_stderr("rb").read()
        if code := channel.recv_exit_status():
            raise stream_ended(self.name, argv, code, said)

    def _lost(self, error: Exception) -> HostError:
        return HostError(
            f"the connection was lost ({str(error) or 'it was cut'})",
            where=self.name,
            remedy="repeat the command; what was uploaded so far is kept",
        )

    def _forget(self, connection: Connection) -> None:
        """Drop a connection of which Paramiko may not have noticed yet that it was lost."""
        with self._lock:
            close_connection(connection)
            if self._connection is connection:
                self._connection = None


@contextmanager
def _session(connection: Connection) -> Iterator[paramiko.Channel]:
    with closing(connection.transport.open_session()) as channel:
        yield channel


def _execute(channel: paramiko.Channel, argv: Sequence[str], stdin: bytes) -> Finished:
    channel.exec_command(_line(argv))
    with suppress(OSError):  # A command may end without having read all; its exit code tells.
        channel.sendall(stdin)
    channel.shutdown_write()
    out, err = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
    return Finished(channel.recv_exit_status(), out, err)


def _check_alive(connection: Connection) -> None:
    """Raise EOFError where a connection was cut; some calls end as if nothing had happened."""
    if not connection.transport.is_active():
        raise EOFError


def _line(argv: Sequence[str]) -> str:
    return " ".join(map(_quote, argv))


def _quote(word: str) -> str:
    if word.startswith("~/"):
        return f'"$HOME"/{shlex.quote(word[2:])}'
    return shlex.quote(word)
