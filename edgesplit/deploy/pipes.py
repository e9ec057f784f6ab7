"""The streams of commands that run on a host, over SSH."""

from __future__ import annotations

from collections.abc import Callable

import paramiko

_PIECE = 1 << 16


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

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
