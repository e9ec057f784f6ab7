"""What a share of a run asks of its device, found by walking back from what it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgesplit.cost.kernel import Kernel
from edgesplit.cost.memory import BASE, footprint
from edgesplit.cost.profiles import Profile
from edgesplit.cost.work import ROW_WEIGHTS, Work
from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Node
from edgesplit.graph.slicing import Partial
from edgesplit.plan.search.steps import Asked, Steps


@dataclass(frozen=True, slots=True)
class Demand:
    """What one share asks: its place in the layout, seconds, boxes to fetch, bytes of them.

    `memory` are bytes that its device must have.
    """

    place: int
    device: int
    seconds: float
    fetched: Mapping[str, Region]
    nbytes: int
    memory: float


class Walk:
    """A share being walked back through: each step adds the work of the nodes before."""

    def __init__(self, steps: Steps, profile: Profile, partial: Partial | None = None) -> None:
        self._steps, self._profile, self._partial = steps, profile, partial
        self._values = steps.graph.values
        self._boxes: dict[str, Region] = {}
        self._computed = 0.0
        self._kernels: list[Kernel] = []
        self._macs = self._mapped = self._copied = self._live = self._largest = 0.0
        self._made = 0.0

    @property
    def macs(self) -> float:
        """Multiply-accumulates so far."""
        return self._macs

    @property
    def seconds(self) -> float:
        """What it all takes in one session."""
        return self._profile.session(self._computed, self._kernels)

    def want(self, name: str, box: Region) -> None:
        """Ask for a box of a value that leaves the share."""
        self._made += box.size * self._values[name].itemsize
        self._need(name, box)

    def back(self, nodes: Sequence[Node]) -> None:
        """Walk back through nodes, given in topological order."""
        for node in reversed(nodes):
            out = {name: self._boxes[name] for name in node.outputs if name in self._boxes}
            if out:
                part = self._partial if self._partial and self._partial.node == node.name else None
                asked = self._steps.ask(node, out, part)
                for position, box in asked.reads:
                    self._need(node.reads[position], box)
                self._count(node, asked)

    def demand(
        self, place: int, device: int, start: int, home: Mapping[str, int], window: int
    ) -> Demand:
        """Return what the share asks if it begins at a layer; it may be walked on afterwards."""
        fetched = {name: box for name, box in self._boxes.items() if home[name] < start}
        received = sum(b.size * self._values[n].wire_itemsize for n, b in fetched.items())
        work = Work(self._macs, self._mapped, self._copied, self._live, self._largest)
        memory = footprint(work, received + self._made, window).total - BASE
        seconds = self.seconds + self._profile.step_seconds
        return Demand(place, device, seconds, fetched, received, memory)

    def _need(self, name: str, box: Region) -> None:
        self._boxes[name] = self._boxes[name].hull(box) if name in self._boxes else box

    def _count(self, node: Node, asked: Asked) -> None:
        self._computed += self._profile.compute(asked.macs, asked.weights)
        self._kernels += asked.kernels
        self._macs += asked.macs
        self._live = max(self._live, asked.live)
        if node.op in ROW_WEIGHTS:
            self._mapped += asked.weights
        else:
            self._copied += asked.weights
            self._largest = max(self._largest, asked.weights)
