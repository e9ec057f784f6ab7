"""Which host keys are trusted: known_hosts files as OpenSSH reads them, and what to do with others.

Fabric by itself accepts any key and reads no known_hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from fabric import Connection
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from edgesplit.errors import HostError

_SYSTEM_FILE = Path("/etc/ssh/ssh_known_hosts")
_USER_FILE = Path("~/.ssh/known_hosts")
_PORT = 22

Accept = Callable[[str], bool]
"""Decides on an unknown key by its fingerprint."""


class UnknownHostKey(paramiko.SSHException):
    """The host showed a key that no known_hosts file has, and it was not accepted."""

    def __init__(self, host: str, fingerprint: str) -> None:
        super().__init__(f"unknown host key {fingerprint}")
        self.host, self.fingerprint = host, fingerprint


@dataclass(frozen=True, slots=True)
class _Line:
    """An entry of a known_hosts file and its marker: `@revoked`, `@cert-authority` or none."""

    marker: str
    entry: HostKeyEntry


def known_hosts_files(connection: Connection, own: str | None) -> tuple[Path, ...]:
    """Return the known_hosts files that count for a connection, the most particular first."""
    configured = connection.ssh_config.get("userknownhostsfile", str(_USER_FILE)).split()
    names = [*([own] if own else ()), *configured, str(_SYSTEM_FILE)]
    return tuple(dict.fromkeys(Path(name).expanduser() for name in names))


def verify_keys(connection: Connection, own: str | None, accept: Accept) -> None:
    """Make a connection, and those it jumps through, refuse every host key that isn't known.

    `accept` decides on unknown keys; what it accepts is added to the first file. A key that
    differs from a known one is always refused.

    Raises:
        HostError: A known_hosts file can't be read.
    """
    files = known_hosts_files(connection, own)
    lines = [line for path in files if path.is_file() for line in _lines(path)]
    revoked = frozenset(_blob(line.entry) for line in lines if line.marker == "@revoked")
    _load(connection.client.get_host_keys(), _trusted(lines, revoked))
    connection.client.set_missing_host_key_policy(_Policy(files[0], revoked, accept))
    if isinstance(connection.gateway, Connection):
        verify_keys(connection.gateway, own, accept)


def trust_only(connections: Iterable[Connection], keys: Iterable[str]) -> None:
    """Make connections refuse every host key but these lines of a known_hosts file."""
    entries = [entry for line in keys if (entry := HostKeyEntry.from_line(line)) is not None]
    for connection in connections:
        _load(connection.client.get_host_keys(), entries)
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())


def shown_keys(connections: Iterable[Connection]) -> Iterator[str]:
    """Yield the keys that open connections were shown, as lines of a known_hosts file."""
    for connection in connections:
        host = (
            connection.host
            if connection.port == _PORT
            else f"[{connection.host}]:{connection.port}"
        )
        key = connection.transport.get_remote_server_key()
        yield f"{host} {key.get_name()} {key.get_base64()}"


class _Policy(paramiko.MissingHostKeyPolicy):
    def __init__(self, file: Path, revoked: frozenset[bytes], accept: Accept) -> None:
        self._file, self._revoked, self._accept = file, revoked, accept

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        fingerprint = f"{key.get_name()} {key.fingerprint}"
        if key.asbytes() in self._revoked or not self._accept(fingerprint):
            raise UnknownHostKey(hostname, fingerprint)
        client.get_host_keys().add(hostname, key.get_name(), key)
        _append(self._file, f"{hostname} {key.get_name()} {key.get_base64()}\n")


def _lines(path: Path) -> Iterator[_Line]:
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        try:
            entry = HostKeyEntry.from_line(rest.strip(), number)
        except (InvalidHostKey, paramiko.SSHException) as error:
            raise HostError(
                "a line of the known hosts can't be read",
                where=f"{path}:{number}",
                remedy="correct or delete that line",
            ) from error
        if entry is not None:
            yield _Line(marker, entry)


def _trusted(lines: Iterable[_Line], revoked: frozenset[bytes]) -> Iterator[HostKeyEntry]:
    for line in lines:
        if not line.marker and _blob(line.entry) not in revoked:
            yield line.entry


def _load(keys: paramiko.HostKeys, entries: Iterable[HostKeyEntry]) -> None:
    """Add entries; the first key of a name and a kind counts, as its file is more particular."""
    for entry in entries:
        for name in entry.hostnames or ():
            known = keys.lookup(name)
            if entry.key is not None and (known is None or entry.key.get_name() not in known):
                keys.add(name, entry.key.get_name(), entry.key)


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def _blob(entry: HostKeyEntry) -> bytes:
    return entry.key.asbytes() if entry.key is not None else b""
