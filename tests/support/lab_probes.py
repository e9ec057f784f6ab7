"""What one sees of a lab's hosts from within its network, at any level that has one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgesplit.lab.bed import Lab, LabHost
from edgesplit.lab.enter import CONTROLLER, environment, in_network, network

_BANNER = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 22), timeout=float(sys.argv[2])) as link:
        print(link.recv(4).decode())
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silence")
"""

# Sends datagrams back until one says `end`, then tells how many there were.
_ECHO = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.bind(("", 7))
    print("ready", flush=True)
    count = 0
    while (got := link.recvfrom(2048))[0] != b"end":
        count += 1
        link.sendto(*got)
print(count)
"""

_SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    for _ in range(int(sys.argv[2])):
        link.sendto(sys.argv[3].encode(), (sys.argv[1], 7))
"""

_ROUND_TRIPS = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.settimeout(5)
    link.connect((sys.argv[1], 7))
    for number in range(int(sys.argv[2]) + 1):
        start = time.monotonic()
        link.send(b"%d" % number)
        assert link.recv(16) == b"%d" % number
        if number:  # The first one also asks for the address.
            print(time.monotonic() - start)
"""


def banner(lab: Lab, host: LabHost, seconds: float = 0.3) -> str:
    """Return what a host's ssh server says first, `refused`, or `silence` for so many seconds."""
    return _run(lab, CONTROLLER, _BANNER, host.address, seconds).strip()


def arriving(lab: Lab, sender: str, receiver: LabHost, count: int = 1) -> int:
    """Return how many of so many datagrams from one place arrive at a host."""
    with _echo(lab, receiver) as told:
        _run(lab, sender, _SEND, receiver.address, count, "hello")
    return int(told[0])


def round_trips(lab: Lab, host: LabHost, count: int) -> list[float]:
    """Return the seconds that small datagrams take from the controller to a host and back."""
    with _echo(lab, host):
        lines = _run(lab, CONTROLLER, _ROUND_TRIPS, host.address, count).split()
    return [float(line) for line in lines]


def link(lab: Lab, where: str, name: str = "eth0") -> dict[str, Any]:
    """Return a link as `ip` describes it."""
    (found,) = json.loads(in_network(lab, where, ["ip", "-json", "link", "show", name]).stdout)
    assert isinstance(found, dict)
    return found


@contextmanager
def _echo(lab: Lab, host: LabHost) -> Iterator[list[str]]:
    """Run an echo of datagrams on a host; the list yielded then has how many there were."""
    words = network(lab, host.name, [sys.executable, "-c", _ECHO])
    told: list[str] = []
    with subprocess.Popen(words, env=environment(lab), stdout=subprocess.PIPE, text=True) as echo:
        assert echo.stdout is not None
        assert echo.stdout.readline() == "ready\n"
        try:
            yield told
        finally:
            _run(lab, host.name, _SEND, host.address, 1, "end")
            told.extend(echo.stdout.read().split())


def _run(lab: Lab, where: str, program: str, *arguments: object) -> str:
    words = [sys.executable, "-c", program, *map(str, arguments)]
    return in_network(lab, where, words).stdout
