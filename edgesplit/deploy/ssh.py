"""A host over SSH: Fabric's connections, with host keys verified and failures explained."""

from __future__ import annotations

import errno
import logging
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import paramiko
from fabric import Config, Connection

from edgesplit.deploy.hostkeys import Accept, UnknownHostKey, verify_keys
from edgesplit.deploy.hosts import Ask, Finished, Sent, refused, timed_out
from edgesplit.errors import HostError
from edgesplit.spec.cluster import Device

_CONNECT_SECONDS = 15
_SILENCE_SECONDS = 60.0
_KEEPALIVE_SECONDS = 15
_CHUNK = 1 << 15

# Paramiko logs what it also raises; without a handler Python would print it to standard error.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshHost:
    """A device over SSH; it connects on first use and again when the connection was lost."""

    def __init__(self, device: Device, ask: Ask | None = None) -> None:
        self.name = device.name
        self._device, self._ask = device, ask
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Finished:
        """Run a command; `timeout` counts from its last output."""
        transport = self._open().transport
        with self._lost_connections(), closing(transport.open_session()) as channel:
            channel.settimeout(timeout)
            try:
                finished = _execute(channel, argv, timeout, stdin or b"")
            except TimeoutError:
                raise timed_out(self.name, argv, timeout) from None
            if not transport.is_active():
                raise EOFError  # Else a cut would look like a command that a signal ended.
            return finished

    def put(self, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Write files over SFTP, each from where an earlier try ended."""
        transport = self._open().transport
        with self._sftp() as sftp:
            for path, source in files.items():
                try:
                    _upload(sftp, path, source, sent)
                except OSError as error:
                    if not transport.is_active():
                        raise EOFError from error  # Of a cut Paramiko speaks in an OSError too.
                    raise refused(self.name, path, error) from error

    def fetch(self, path: str) -> bytes:
        """Read a file."""
        with self._sftp() as sftp:
            try:
                with sftp.open(path, "rb") as file:
                    return file.read()
            except OSError as error:
                raise refused(self.name, path, error) from error

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._connection is not None:
                _close(self._connection)
                self._connection = None

    def _open(self) -> Connection:
        with self._lock:
            if self._connection is None or not self._connection.is_connected:
                self._connection = self._connect()
            return self._connection

    def _connect(self) -> Connection:
        connection = _connection(self._device)
        verify_keys(connection, self._device.ssh.known_hosts, self._acceptance())
        try:
            with self._failed_connections():
                connection.open()
                connection.transport.set_keepalive(_KEEPALIVE_SECONDS)
        except HostError:
            _close(connection)
            raise
        return connection

    def _acceptance(self) -> Accept:
        ask = self._ask
        if self._device.ssh.host_keys == "accept-new":
            return lambda _: True
        if self._device.ssh.host_keys == "ask" and ask is not None:
            return lambda fingerprint: ask(self.name, fingerprint)
        return lambda _: False

    @contextmanager
    def _sftp(self) -> Iterator[paramiko.SFTPClient]:
        connection = self._open()
        with self._lost_connections(), closing(connection.client.open_sftp()) as sftp:
            sftp.get_channel().settimeout(_SILENCE_SECONDS)
            yield sftp

    @contextmanager
    def _lost_connections(self) -> Iterator[None]:
        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.close()  # Paramiko may not have noticed yet, and would give it out again.
            raise HostError(
                f"the connection was lost ({str(error) or 'it was cut'})",
                where=self.name,
                remedy="repeat the command; what was uploaded so far is kept",
            ) from error

    @contextmanager
    def _failed_connections(self) -> Iterator[None]:
        """Translate what can go wrong before a login is through."""
        place = f"{self._device.host}"
        try:
            yield
        except paramiko.BadHostKeyException as error:
            raise self._changed_key(error) from error
        except UnknownHostKey as error:
            raise self._unknown_key(error) from error
        except paramiko.AuthenticationException as error:
            raise HostError(
                f"{place} refused the login ({error})",
                where=self.name,
                remedy="check `user` and `identity` in the cluster file, ssh-agent, and the "
                "device's ~/.ssh/authorized_keys",
            ) from error
        except TimeoutError as error:
            raise HostError(
                f"{place} did not answer within {_CONNECT_SECONDS} s",
                where=self.name,
                remedy="check that it is switched on, and the network between",
            ) from error
        except (OSError, paramiko.SSHException, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise HostError(
                f"{place} can't be reached ({reason})",
                where=self.name,
                remedy="check `host` and `port` in the cluster file, that the device is switched "
                "on, and that its ssh server runs",
            ) from error

    def _changed_key(self, error: paramiko.BadHostKeyException) -> HostError:
        return HostError(
            f"the host key of {error.hostname} has changed: it shows {error.key.fingerprint}, "
            f"known is {error.expected_key.fingerprint}; nothing was sent",
            where=self.name,
            remedy="if the device was installed afresh, remove its line from the known hosts "
            f"(`ssh-keygen -R {error.hostname}`); else someone may be in between",
        )

    def _unknown_key(self, error: UnknownHostKey) -> HostError:
        return HostError(
            f"the host key of {error.host} is not known: {error.fingerprint}; nothing was sent",
            where=self.name,
            remedy="log in once with ssh and compare the fingerprint, or set "
            "`host_keys: accept-new` in the cluster file",
        )


def _connection(device: Device) -> Connection:
    """Return an unopened connection of the device's login over the user's ssh configuration.

    Raises:
        HostError: The ssh configuration or the identity can't be read.
    """
    login = device.ssh
    identity = Path(login.identity).expanduser() if login.identity else None
    if identity is not None and not identity.is_file():
        raise HostError(
            f"the identity {identity} is not there",
            where=device.name,
            remedy="correct `identity` in the cluster file",
        )
    try:
        path = str(Path(login.config).expanduser()) if login.config else None
        config = Config(runtime_ssh_path=path)
    except (OSError, paramiko.ConfigParseError) as error:
        raise HostError(
            f"the ssh configuration can't be read: {error}",
            where=device.name,
            remedy="correct it, or `config` in the cluster file",
        ) from error
    connection = Connection(
        device.host,
        user=login.user,
        port=login.port,
        config=config,
        connect_timeout=_CONNECT_SECONDS,
    )
    connection.connect_kwargs = {
        **connection.connect_kwargs,
        **_credentials(connection, identity),
    }
    return connection


def _credentials(connection: Connection, identity: Path | None) -> dict[str, object]:
    """Return how to log in; as with ssh, an identity that isn't there is passed over."""
    configured = connection.ssh_config.get("identityfile", [])
    names = [*([str(identity)] if identity else ()), *configured]
    only = connection.ssh_config.get("identitiesonly", "no") == "yes"
    return {
        "key_filename": [name for name in names if Path(name).expanduser().is_file()],
        "allow_agent": not only,
        "look_for_keys": not only and identity is None,
        "banner_timeout": _CONNECT_SECONDS,
        "auth_timeout": _CONNECT_SECONDS,
        "channel_timeout": _CONNECT_SECONDS,
    }


def _execute(
    channel: paramiko.Channel, argv: Sequence[str], timeout: float, stdin: bytes
) -> Finished:
    channel.exec_command(" ".join(map(_quote, argv)))
    channel.sendall(stdin)
    channel.shutdown_write()
    out, err = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
    if not channel.status_event.wait(timeout):
        raise TimeoutError
    return Finished(channel.exit_status, out, err)


def _upload(sftp: paramiko.SFTPClient, path: str, source: Path | bytes, sent: Sent) -> None:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    there = _size(sftp, path)
    begin = there if there <= size else 0
    sent(begin)
    with sftp.open(path, "ab" if begin else "wb") as target:
        target.set_pipelined(True)
        for chunk in _chunks(source, begin):
            target.write(chunk)
            sent(len(chunk))
    # Paramiko doesn't wait for the last answers, in which a full disk would be told.
    if _size(sftp, path) != size:
        raise OSError(errno.ENOSPC, "not all bytes were written, the disk may be full")


def _chunks(source: Path | bytes, begin: int) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source[begin:]
        return
    with source.open("rb") as file:
        file.seek(begin)
        while chunk := file.read(_CHUNK):
            yield chunk


def _size(sftp: paramiko.SFTPClient, path: str) -> int:
    with suppress(FileNotFoundError):
        return sftp.stat(path).st_size or 0
    return 0


def _close(connection: Connection) -> None:
    """Close a connection even where it failed halfway, and those it jumped through."""
    connection.client.close()
    if isinstance(connection.gateway, Connection):
        _close(connection.gateway)


def _quote(word: str) -> str:
    if word.startswith("~/"):
        return f'"$HOME"/{shlex.quote(word[2:])}'
    return shlex.quote(word)
