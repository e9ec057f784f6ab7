"""Real ssh servers for tests: one on each of several loopback addresses, each with its own home."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgesplit.spec.cluster import Device, Link, Ssh

REQUIRE_SSHD = "EDGESPLIT_REQUIRE_SSHD"
"""Set (to anything) to fail where no ssh server is installed; else such a test is skipped."""

_SERVERS = ("/usr/sbin/sshd", "/usr/bin/sshd")
_FIRST_ADDRESS = 11

_ENTER = """#!/bin/sh
export HOME={home} XDG_DATA_HOME= EDGESPLIT_HOME=
cd "$HOME" || exit 1
case "$SSH_ORIGINAL_COMMAND" in
  "") exec /bin/sh -l ;;
  *sftp-server*|internal-sftp*) exec {sftp} -d "$HOME" ;;
  *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""

_CONFIG = """Port {port}
ListenAddress {address}
HostKey {folder}/hostkey
PidFile none
AuthorizedKeysFile {keys}
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
ForceCommand {folder}/enter
MaxStartups 100
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class SshdHost:
    """One server: where it listens, how to log in, and what it wrote."""

    address: str
    port: int
    user: str
    home: Path
    known_hosts: Path
    identity: Path
    log: Path
    host_key: str

    def ssh(self) -> Ssh:
        """Return a login that reads nothing of this user's own ssh configuration."""
        return Ssh(
            user=self.user,
            port=self.port,
            identity=str(self.identity),
            known_hosts=str(self.known_hosts),
            config=os.devnull,
        )

    def device(self, name: str, *, port: int, python: str) -> Device:
        """Return a device on this host whose executor listens on `port`."""
        return Device(
            name=name,
            connection="ssh",
            host=self.address,
            address=self.address,
            port=port,
            profile="raspberry-pi-4b",
            memory=1 << 30,
            cores=1,
            link=Link(bandwidth=1e9, latency=1e-4),
            python=python,
            ssh=self.ssh(),
        )


@dataclass(frozen=True)
class SshdBed:
    """Several servers with one client key and one known_hosts file."""

    hosts: tuple[SshdHost, ...]
    known_hosts: Path
    identity: Path

    def with_known_hosts(self, text: str, path: Path) -> tuple[SshdHost, ...]:
        """Return the hosts as seen with another known_hosts file."""
        path.write_text(text)
        return tuple(replace(host, known_hosts=path) for host in self.hosts)


@contextmanager
def sshd_bed(folder: Path, count: int) -> Iterator[SshdBed]:
    """Run `count` servers on 127.0.0.11 and up, each with a private HOME under `folder`.

    They run as the current user and need no rights. Without an sshd the test is skipped with
    that reason; it fails where the environment variable `EDGESPLIT_REQUIRE_SSHD` is set.
    """
    server = _server()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    identity, known = folder / "id", folder / "known_hosts"
    _keygen(identity)
    addresses = [f"127.0.0.{_FIRST_ADDRESS + i}" for i in range(count)]
    port = free_port(addresses)
    hosts = [_host(folder / a, a, port, known, identity) for a in addresses]
    known.write_text("".join(f"[{h.address}]:{h.port} {h.host_key}\n" for h in hosts))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(_start(server, host) for host in hosts)
        for host, process in zip(hosts, processes, strict=True):
            _await(host, process)
        yield SshdBed(tuple(hosts), known, identity)
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def make_key(path: Path) -> str:
    """Make a key pair and return its public half as a known_hosts file has it."""
    _keygen(path)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def _server() -> str:
    found = next((path for path in _SERVERS if Path(path).exists()), None)
    if found is None:
        end = pytest.fail if os.environ.get(REQUIRE_SSHD) else pytest.skip
        end("no sshd on this machine: install openssh-server to test over SSH")
    if os.geteuid() == 0:
        # As root, sshd insists on its privilege separation folder.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return found


def _host(folder: Path, address: str, port: int, known: Path, identity: Path) -> SshdHost:
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    host_key = make_key(folder / "hostkey")
    sftp = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh")
    enter = folder / "enter"
    enter.write_text(_ENTER.format(home=home, sftp=sftp))
    enter.chmod(0o755)
    keys = identity.with_suffix(".pub")
    config = _CONFIG.format(port=port, address=address, folder=folder, keys=keys)
    (folder / "config").write_text(config)
    log = folder / "log"
    return SshdHost(address, port, getpass.getuser(), home, known, identity, log, host_key)


def _start(server: str, host: SshdHost) -> subprocess.Popen[bytes]:
    config = host.log.with_name("config")
    options = ["-D", "-f", str(config), "-E", str(host.log)]
    return subprocess.Popen([server, *options], start_new_session=True)


def _await(host: SshdHost, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server's banner can be read."""
    while process.poll() is None:
        try:
            with socket.create_connection((host.address, host.port), timeout=10) as link:
                if link.recv(4) == b"SSH-":
                    return
        except ConnectionRefusedError:
            continue
    pytest.fail(f"sshd ended with {process.returncode}: {host.log.read_text()}")


def free_port(addresses: list[str]) -> int:
    """Return a port that is free on all the addresses."""
    while True:
        port = 20000 + secrets.randbelow(10000)
        try:
            for address in addresses:
                with socket.create_server((address, port)):
                    pass
        except OSError:
            continue
        return port


def _keygen(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "edgesplit-tests"]
    subprocess.run([*command, "-f", str(path)], check=True)
