"""What a device has when the cluster file doesn't say: memory, cores and link by profile."""

from __future__ import annotations

from dataclasses import dataclass

from edgesplit.spec.cluster import Link

_MIB = 2**20
_SHARE = (5, 8)  # The rest of a board is for its system, its file cache and one rollout.

FAST_ETHERNET = Link(bandwidth=94.1e6 / 8, latency=0.3e-3)
"""The payload that 100 Mbit/s Ethernet carries."""

GIGABIT = Link(bandwidth=1e9 / 8, latency=0.1e-3)

LOOPBACK = Link(bandwidth=5e9 / 8, latency=0.1e-3)
"""Processes of one machine: what encrypted messages over loopback reach on a desktop."""


@dataclass(frozen=True, slots=True)
class Board:
    """A kind of computer: `ram` in bytes, `cores`, and its `link`."""

    ram: int
    cores: int
    link: Link

    @property
    def memory(self) -> int:
        """The cautious share of the RAM that an executor may use, in bytes."""
        share, of = _SHARE
        return self.ram * share // of


GENERIC = "generic"
"""The profile of a machine that nothing is known of."""

BOARDS = {
    "raspberry-pi-3b": Board(ram=1024 * _MIB, cores=4, link=FAST_ETHERNET),
    # Models 4B and 5 are sold with 1 to 16 GiB; the smallest in wide use is assumed.
    "raspberry-pi-4b": Board(ram=2048 * _MIB, cores=4, link=GIGABIT),
    "raspberry-pi-5": Board(ram=2048 * _MIB, cores=4, link=GIGABIT),
    GENERIC: Board(ram=1024 * _MIB, cores=1, link=FAST_ETHERNET),
}
"""Profiles that a cluster file may name. What their compute costs is the cost model's affair."""
