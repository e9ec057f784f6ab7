"""Logging in over SSH: the user's own configuration, verified keys, a deadline for every step."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import paramiko
from fabric import Config, Connection

from edgesplit.deploy.hostkeys import UnknownHostKey
from edgesplit.deploy.patience import Patience
from edgesplit.errors import HostError
from edgesplit.spec.cluster import Device

# The one-process rate of uploads doubles with a cipher that authenticates too. It needs no hash
# beside it; a server that doesn't have it is spoken to as before.
_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_KEEPALIVE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds.

    `answer` is for each answer while logging in, `login` for all of it, `silence` for a transfer
    that doesn't move, and for bytes that the other machine doesn't acknowledge.
    """

    answer: int = 15
    login: float = 60.0
    silence: float = 60.0


def open_connection(connection: Connection, name: str, limits: Limits) -> None:
    """Log in; the connection must know by then which host keys to trust.

    Raises:
        HostError: It can't be reached, isn't who it should be, refuses us, or doesn't answer;
            the connection is closed then.
    """
    try:
        with _failures(connection, name, limits):
            connection.open()
            _keep_alive(connection.transport, limits)
    except BaseException:
        close_connection(connection)
        raise


def make_connection(device: Device, limits: Limits) -> Connection:
    """Return an unopened connection of a device's login over the user's ssh configuration.

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
    path = str(Path(login.config).expanduser()) if login.config else None
    try:
        config = Config(runtime_ssh_path=path, overrides=_every_hop(limits))
    except (OSError, paramiko.ConfigParseError) as error:
        raise HostError(
            f"the ssh configuration can't be read: {error}",
            where=device.name,
            remedy="correct it, or `config` in the cluster file",
        ) from error
    connection = Connection(device.host, user=login.user, port=login.port, config=config)
    connection.connect_kwargs = {
        **connection.connect_kwargs,
        **_credentials(connection, identity),
    }
    return connection


def hops(connection: Connection) -> Iterator[Connection]:
    """Yield a connection and those it jumps through, the nearest to the device first."""
    yield connection
    if isinstance(connection.gateway, Connection):
        yield from hops(connection.gateway)


def close_connection(connection: Connection) -> None:
    """Close a connection even where it failed halfway, and those it jumped through."""
    for hop in hops(connection):
        hop.client.close()


def cut_connection(connection: Connection) -> None:
    """Make every call that is under way on a connection fail, whatever it waits for."""
    for hop in hops(connection):
        if (transport := hop.client.get_transport()) is not None:
            transport.close()


def _every_hop(limits: Limits) -> Mapping[str, object]:
    """Return what holds for a connection and for those it jumps through."""
    names = ("banner_timeout", "auth_timeout", "channel_timeout")
    waits: dict[str, object] = dict.fromkeys(names, limits.answer)
    return {
        "timeouts": {"connect": limits.answer},
        "connect_kwargs": {**waits, "transport_factory": _transport},
    }


def _transport(sock: Any, **options: Any) -> paramiko.Transport:  # noqa: ANN401 - Paramiko's own
    transport = paramiko.Transport(sock, **options)
    security = transport.get_security_options()
    security.ciphers = tuple(dict.fromkeys((*_FAST_CIPHERS, *security.ciphers)))
    return transport


def _credentials(connection: Connection, identity: Path | None) -> dict[str, object]:
    """Return how to log in; as with ssh, an identity that isn't there is passed over."""
    configured = connection.ssh_config.get("identityfile", [])
    names = [*([str(identity)] if identity else ()), *configured]
    only = connection.ssh_config.get("identitiesonly", "no") == "yes"
    return {
        "key_filename": [name for name in names if Path(name).expanduser().is_file()],
        "allow_agent": not only,
        "look_for_keys": not only and identity is None,
    }


def _keep_alive(transport: paramiko.Transport, limits: Limits) -> None:
    """Keep routers from forgetting the connection, and notice when the other end has gone."""
    transport.set_keepalive(_KEEPALIVE_SECONDS)
    if isinstance(transport.sock, socket.socket):
        milliseconds = int(limits.silence * 1000)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


@contextmanager
def _failures(connection: Connection, name: str, limits: Limits) -> Iterator[None]:
    """Say what went wrong before a login was through."""
    begun = monotonic()
    with Patience(limits.login, lambda: cut_connection(connection)) as patience:
        try:
            yield
        except (OSError, paramiko.SSHException, EOFError) as error:
            if patience.expired:
                raise _silent(connection, name, limits.login) from error
            # Paramiko has a timeout for each step, but no type of its own for most of them.
            patient = min(limits.answer, connection.connect_timeout or limits.answer)
            waited = monotonic() - begun >= patient
            raise _explain(error, connection, name, patient if waited else None) from error


def _explain(
    error: Exception, connection: Connection, name: str, waited: float | None
) -> HostError:
    place = connection.original_host
    match error:
        case paramiko.BadHostKeyException():
            return _changed_key(error, name)
        case UnknownHostKey():
            return _unknown_key(error, name)
        case paramiko.AuthenticationException() if "timeout" not in str(error).lower():
            return HostError(
                f"{place} refused the login ({error})",
                where=name,
                remedy="check `user` and `identity` in the cluster file, ssh-agent, and the "
                "device's ~/.ssh/authorized_keys",
            )
        case OSError(filename=str(path)):
            return HostError(
                f"{path}: {error.strerror}", where=name, remedy="give yourself access to it"
            )
    if waited is not None:
        return _silent(connection, name, waited)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return HostError(
        f"{place} can't be reached ({reason})",
        where=name,
        remedy="check `host` and `port` in the cluster file, that the device is switched on, and "
        "that its ssh server runs",
    )


def _silent(connection: Connection, name: str, seconds: float) -> HostError:
    return HostError(
        f"{connection.original_host} did not answer within {seconds:g} s",
        where=name,
        remedy="check that it is switched on and not overloaded, and the network between",
    )


def _changed_key(error: paramiko.BadHostKeyException, name: str) -> HostError:
    return HostError(
        f"the host key of {error.hostname} has changed: it shows {error.key.fingerprint}, "
        f"known is {error.expected_key.fingerprint}; nothing was sent",
        where=name,
        remedy="if the device was installed afresh, remove its line from the known hosts "
        f"(`ssh-keygen -R {error.hostname}`); else someone may be in between",
    )


def _unknown_key(error: UnknownHostKey, name: str) -> HostError:
    return HostError(
        f"the host key of {error.host} is not known: {error.fingerprint}; nothing was sent",
        where=name,
        remedy="log in once with ssh and compare the fingerprint, or set "
        "`host_keys: accept-new` in the cluster file",
    )
