"""What it takes to exchange messages between two layouts, from the busiest ends of them."""

from __future__ import annotations

from typing import NamedTuple

from edgesplit.spec.cluster import Link


class Cost(NamedTuple):
    """Seconds that a run adds to a request, those of each resource of its busiest device, bytes."""

    latency: float = 0.0
    compute: float = 0.0
    messages: float = 0.0
    sending: float = 0.0
    receiving: float = 0.0
    memory: float = 0.0


class Load(NamedTuple):
    """Messages of one device, and their bytes."""

    messages: float
    nbytes: float


class End(NamedTuple):
    """One end of a link, and what it costs to handle a message there, and a byte of it.

    `held` is what a message adds to the task that it belongs to.
    """

    link: Link
    price: float
    per_byte: float = 0.0
    held: float = 0.0

    def handling(self, load: Load) -> float:
        """Return what all messages of a load cost here."""
        return load.messages * self.price + load.nbytes * self.per_byte

    def one(self, load: Load) -> float:
        """Return what one of them does."""
        return self.price + (self.per_byte and self.per_byte * load.nbytes / load.messages)


def exchange(sent: Load, received: Load, sender: End, receiver: End) -> Cost:
    """Return what it takes until the last message is through.

    Messages leave, travel and are taken in one after the other, all at once: the slowest of these
    decides. Where all devices exchange, each one handles both what it sends and what it receives.
    By what messages add to their tasks these begin later and end later: nothing hides that.
    """
    if not received.messages:
        return Cost()
    leaving, taking = sender.handling(sent), receiver.handling(received)
    one_leaves, one_taken = sender.one(sent), receiver.one(received)
    out, into = sent.nbytes / sender.link.bandwidth, received.nbytes / receiver.link.bandwidth
    first = sender.link.latency + receiver.link.latency + one_leaves + one_taken
    handled = max(leaving - one_leaves, 0.0) + max(taking - one_taken, 0.0)
    last = max(out, into) / max(1.0, received.messages)
    held = sent.messages * sender.held + received.messages * receiver.held
    latency = first + max(handled, out, into) + (last if handled > max(out, into) else 0.0)
    return Cost(held + latency, held, leaving + taking, out, into)
