"""Telling whoever started a supervisor how it fares: a pipe, or a service manager's socket.

The protocol is sd_notify(3): datagrams to the Unix socket that NOTIFY_SOCKET names. Without that
variable nothing is sent and nothing else changes.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What a service manager sets for the supervisor and means for no child of it."""

_KIND = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


@dataclass(frozen=True, slots=True)
class Notifier:
    """Where to tell it.

    `address` is a service manager's socket, `pipe` a descriptor that takes one byte and is closed
    then; `interval` are the seconds between two signs of life, infinite where none is wanted.
    """

    address: str = ""
    interval: float = math.inf
    pipe: int | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pipe: int | None = None) -> Notifier:
        """Read what a service manager has set; signs of life come twice as often as it asks."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = microseconds.isdecimal() and int(microseconds) > 0 and for_us
        interval = int(microseconds) / 2e6 if wanted else math.inf
        return cls(environment.get("NOTIFY_SOCKET", ""), interval, pipe)

    def ready(self) -> None:
        """Say that the start is done."""
        self._send("READY=1")
        if self.pipe is not None:
            with suppress(BrokenPipeError):  # Who asked has left; what was asked for stands.
                os.write(self.pipe, b"\n")
            os.close(self.pipe)

    def alive(self) -> None:
        """Give a sign of life."""
        if self.interval < math.inf:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self.address:
            return
        # A leading @ stands for the zero byte of Linux's abstract names.
        address = "\0" + self.address[1:] if self.address[0] == "@" else self.address
        # A service manager that doesn't listen is no reason to stop serving.
        with suppress(OSError), socket.socket(socket.AF_UNIX, _KIND) as sender:
            sender.sendto(message.encode(), address)
