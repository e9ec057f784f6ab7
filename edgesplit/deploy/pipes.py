"""The streams of commands that run on a host, over SSH."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import paramiko

_PIECE = 1 << 16
_SECONDS = 2.0


class ChannelPipe:
    """A command's streams in a channel of a connection; `cut` gives up the connection."""

    def __init__(self, channel: paramiko.Channel, cut: Callable[[], None]) -> None:
        self._channel, self.cut = channel, cut

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        try:
            self._channel.sendall(data)
        except (paramiko.SSHException, OSError) as error:
            raise EOFError from error

    def receive(self) -> bytes:
        """Return what it has written."""
        try:
            return self._channel.recv(_PIECE)
        except (paramiko.SSHException, OSError) as error:
            raise EOFError from error

    def said(self) -> bytes:
        """Return what it wrote to standard error."""
        return self._channel.makefile_stderr("rb").read()

    def finish(self) -> None:
        """Close its standard input."""
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.shutdown_write()

    def close(self) -> None:
        """Finish, and wait until it has ended; a device that is gone won't tell."""
        self.finish()
        if self._channel.get_transport().is_active():
            self._channel.status_event.wait(_SECONDS)
        self._channel.close()
