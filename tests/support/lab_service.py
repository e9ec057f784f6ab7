"""A small service on a lab host that can be told from an executor by nothing but its answers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgesplit.lab.bed import Lab, LabHost
from edgesplit.lab.census import innermost
from edgesplit.lab.enter import environment, inside
from edgesplit.runtime.processes import Process

EXECUTOR = ("edgesplit.runtime", "execute", "root", "0")
"""Words in a command line that make a process an executor to whoever looks for one."""

PATIENCE = 10.0
_MOMENT = 0.3

_PROGRAM = """
import os, socket, sys
with socket.create_server((sys.argv[1], 0)) as door:
    print(os.getpid(), door.getsockname()[1], flush=True)
    link, _ = door.accept()
    while text := link.recv(64):
        link.sendall(text)
"""


@dataclass(frozen=True)
class Service:
    """A running service: its pid as its host counts, and a connection to it."""

    pid: int
    link: socket.socket

    def answers(self) -> bool:
        """Return whether a question is answered soon."""
        return self._ask(_MOMENT) == b"?"

    def ends(self) -> bool:
        """Return whether the connection ends, as it does with the process."""
        try:
            return self._ask(PATIENCE) == b""
        except ConnectionError:
            return True

    def catches_up(self) -> bool:
        """Return whether the answer to an earlier question comes after all."""
        self.link.settimeout(PATIENCE)
        return self.link.recv(1) == b"?"

    def _ask(self, patience: float) -> bytes:
        self.link.settimeout(patience)
        self.link.sendall(b"?")
        try:
            return self.link.recv(1)
        except TimeoutError:
            return b"late"


@contextmanager
def service(lab: Lab, host: LabHost, *words: str) -> Iterator[Service]:
    """Run a service on a host, with these words in its command line."""
    program = [sys.executable, "-c", _PROGRAM, host.address, *words]
    started = subprocess.Popen(
        inside(lab, host, program, user=lab.login),
        env=environment(lab, host, lab.login),
        stdout=subprocess.PIPE,
        text=True,
    )
    with started as process:
        assert process.stdout is not None
        pid, port = map(int, process.stdout.readline().split())
        try:
            with socket.create_connection((host.address, port)) as link:
                yield Service(pid, link)
        finally:
            process.kill()


def same(process: Process, service: Service) -> bool:
    """Return whether a process is the service's own."""
    return innermost(process) == service.pid
