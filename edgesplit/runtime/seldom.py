"""Sockets that seldom have news, which a poller sees as one descriptor."""

from __future__ import annotations

from select import EPOLLIN, epoll

import zmq

from edgesplit.runtime.arrival import IN, Events
from edgesplit.runtime.sockets import Socket


class Seldom:
    """Has the kernel watch sockets, so that ZeroMQ's poller need not ask each in every turn.

    ZeroMQ's descriptors say only that something may have happened: once `heard`, receive from
    all of them until nothing is left.
    """

    def __init__(self, poller: zmq.Poller) -> None:
        self._poller = poller
        self._watched = epoll()
        poller.register(self._watched.fileno(), IN)

    def add(self, socket: Socket) -> None:
        """Watch a socket too, until `close`; before anything can have happened to it."""
        # What comes is signalled only where somebody has found nothing before.
        socket.get(zmq.EVENTS)
        self._watched.register(socket.fileno(), EPOLLIN)

    def heard(self, events: Events) -> bool:
        """Tell whether the poller saw that there may be news."""
        return self._watched.fileno() in events

    def close(self) -> None:
        """Watch no longer; before the sockets are closed."""
        self._poller.unregister(self._watched.fileno())
        self._watched.close()
