"""Waiting until ssh servers answer; a program too, for networks that only a child can enter.

python -m edgesplit.lab.banner SECONDS PORT ADDRESS...
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable, Sequence

_RETRY_SECONDS = 0.01


def silent(addresses: Iterable[str], port: int, seconds: float) -> list[str]:
    """Return the addresses at which no ssh server has shown its banner in so many seconds."""
    deadline = time.monotonic() + seconds
    waiting = list(addresses)
    while waiting:
        waiting = [address for address in waiting if not _answers(address, port, deadline)]
        if time.monotonic() > deadline:
            break
        if waiting:
            time.sleep(_RETRY_SECONDS)
    return waiting


def _answers(address: str, port: int, deadline: float) -> bool:
    patience = max(_RETRY_SECONDS, deadline - time.monotonic())
    try:
        with socket.create_connection((address, port), timeout=patience) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False


def main(arguments: Sequence[str]) -> None:
    """Write the addresses that stay silent, one a line."""
    seconds, port, *addresses = arguments
    sys.stdout.writelines(f"{each}\n" for each in silent(addresses, int(port), float(seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])
