"""Where a task's contributions go: to other devices, and to the gateway that asked."""

from __future__ import annotations

from edgesplit.dataflow.assembly import Array
from edgesplit.dataflow.table import GATEWAY, Flow
from edgesplit.dataflow.wire import Header, Kind
from edgesplit.runtime.attempt import Work
from edgesplit.runtime.program import Program
from edgesplit.runtime.transport import Listener, Outgoing

_MAX_RECOVERED = 0xFFFF


class Delivery:
    """Sends contributions over both halves of the transport, and takes them back.

    Args:
        program: Who we are, in which epoch.
        outgoing: The way to other devices.
        listener: The way back to gateways.
    """

    def __init__(self, program: Program, outgoing: Outgoing, listener: Listener) -> None:
        self._program = program
        self._outgoing = outgoing
        self._listener = listener

    @property
    def waiting(self) -> int:
        """Frames that can't leave yet."""
        return self._outgoing.waiting + self._listener.waiting

    def send(self, flow: Flow, array: Array, work: Work, lowest: int) -> None:
        """Send an array to all receivers of its flow but this device; it never blocks."""
        header = self._header(flow, work, lowest)
        deadline = work.attempt.deadline
        for receiver in flow.receivers:
            if receiver == GATEWAY:
                self._listener.reply(header.nonce, header, array, deadline=deadline)
            elif receiver != self._program.device:
                self._outgoing.send(receiver, header, array, deadline=deadline)

    def forget(self, nonce: int, request: int) -> None:
        """Drop what waits for a closed request."""
        for way in (self._outgoing, self._listener):
            way.forget(nonce, request)

    def forget_below(self, nonce: int, lowest: int) -> None:
        """Drop what waits for requests older than `lowest`."""
        for way in (self._outgoing, self._listener):
            way.forget_below(nonce, lowest)

    def expire(self, now: float) -> None:
        """Drop what is past its deadline."""
        self._outgoing.expire(now)
        self._listener.expire(now)

    def _header(self, flow: Flow, work: Work, lowest: int) -> Header:
        return Header(
            kind=Kind.DATA,
            epoch=self._program.epoch,
            nonce=work.attempt.nonce,
            request=work.attempt.request,
            lowest=lowest,
            attempt=work.attempt.number,
            variant=work.attempt.variant,
            flow=flow.id,
            length=flow.nbytes,
            recovered=min(work.recovered, _MAX_RECOVERED),
            dtype=flow.dtype,
        )
