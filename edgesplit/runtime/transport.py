"""The transport of executors and gateways: ZeroMQ with CURVE, and no send that blocks.

`Outgoing` dials; `Listener` is dialled. Each belongs to the one thread that polls: it registers
its sockets with that thread's `zmq.Poller` and is handed what the poller returned. A loop is

    events = dict(poller.poll(milliseconds))
    for event in outgoing.handle(events):
        match event:
            case Shaken(peer): ...
            case Parted(peer): ...
            case Refused(peer): ...
            case Arrival(sender, header, body): ...

The library must not queue: high-water marks are 1, connections IMMEDIATE, LINGER 0. What can't
leave now waits in an `Outbox` of ours, and goes with its request.
"""

from edgesplit.runtime.arrival import FOREVER, Arrival, Events
from edgesplit.runtime.listener import Listener
from edgesplit.runtime.outgoing import MAX_BEAT, Event, Outgoing, Parted, Refused, Shaken

__all__ = [
    "FOREVER",
    "MAX_BEAT",
    "Arrival",
    "Event",
    "Events",
    "Listener",
    "Outgoing",
    "Parted",
    "Refused",
    "Shaken",
]
