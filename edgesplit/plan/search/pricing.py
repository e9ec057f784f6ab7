"""What a run costs after a layout: what is fetched, by whom, in how many messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgesplit.cost.profiles import GENERIC
from edgesplit.dataflow.region import Region
from edgesplit.graph.following import CHANNELS
from edgesplit.plan.publishing import linear_output
from edgesplit.plan.search.anatomy import form
from edgesplit.plan.search.demands import Demand
from edgesplit.plan.search.layouts import Layout
from edgesplit.plan.search.runs import Run, Runs
from edgesplit.spec.cluster import Cluster, Link


class Cost(NamedTuple):
    """Seconds that a run adds to a request, those of each resource of its busiest device, bytes."""

    latency: float = 0.0
    compute: float = 0.0
    messages: float = 0.0
    sending: float = 0.0
    receiving: float = 0.0
    memory: float = 0.0


class _Load(NamedTuple):
    """Messages of one device, and their bytes."""

    messages: float
    nbytes: float


class _End(NamedTuple):
    """One end of a link, and what it costs to handle a message there, and a byte of it."""

    link: Link
    price: float
    per_byte: float = 0.0

    def handling(self, load: _Load) -> float:
        """Return what all messages of a load cost here."""
        return load.messages * self.price + load.nbytes * self.per_byte

    def one(self, load: _Load) -> float:
        """Return what one of them does."""
        return self.price + (self.per_byte and self.per_byte * load.nbytes / load.messages)


@dataclass(frozen=True)
class Pricing:
    """Costs of runs on a cluster; every price is computed once."""

    runs: Runs
    cluster: Cluster
    _seen: dict[tuple[Layout, int], Cost] = field(default_factory=dict, compare=False)

    def run(self, before: Layout, run: Run) -> Cost:
        """Return the cost of a run after a layout of what it reads."""
        key = (before, id(run))
        if key not in self._seen:
            costs = [self._share(before, run, demand) for demand in run.demands]
            self._seen[key] = Cost(*map(max, zip(*costs, strict=True)))
        return self._seen[key]

    def least(self, run: Run, before: Layout | None = None) -> Cost:
        """Return a bound on a run's cost: its arithmetic, and what lies elsewhere."""
        into = 0.0 if before is None else max(self._missing(before, d) for d in run.demands)
        steps = self.runs.parts.profiles
        seconds = max(d.seconds - steps[d.device].step_seconds for d in run.demands)
        memory = max(demand.memory for demand in run.demands)
        return Cost(seconds + into, seconds, 0.0, 0.0, into, memory)

    def answer(self, before: Layout) -> Cost:
        """Return the cost of bringing the answer to the gateway."""
        graph = self.runs.graph
        boxes = {port.name: Region.full(port.shape) for port in graph.outputs}
        received = self._fetched(before, boxes, None)
        sent = _Load(received.messages / _count(before), received.nbytes / _count(before))
        return _exchange(sent, received, self._end(before), self._gateway)

    def _share(self, before: Layout, run: Run, demand: Demand) -> Cost:
        boxes, seconds = demand.fetched, demand.seconds
        if before != run.layout:
            boxes = {**boxes, **self._taken_along(run, demand, boxes)}
        elif run.split == "whole":  # It is one task with what comes before.
            seconds -= self.runs.parts.profiles[demand.device].step_seconds
        received = self._fetched(before, boxes, demand.device)
        ratio = len(run.layout.everyone) / _count(before)
        sent = _Load(received.messages * ratio, received.nbytes * ratio)
        receiver = self._end_of(demand.device)
        cost = _exchange(sent, received, self._end(before), receiver)
        merging = self._merging(run) if run.after.kind != run.layout.kind else Cost()
        return Cost(
            cost.latency + seconds + merging.latency,
            seconds + merging.compute,
            cost.messages + merging.messages,
            cost.sending + merging.sending,
            cost.receiving + merging.receiving,
            demand.memory,
        )

    def _missing(self, before: Layout, demand: Demand) -> float:
        """Return the seconds in which a share receives what isn't on its device."""
        nbytes = demand.nbytes
        if demand.device in before.everyone:
            nbytes -= sum(
                self._own(before, name, box, demand) for name, box in demand.fetched.items()
            )
        return nbytes / self.runs.parts.devices[demand.device].link.bandwidth

    def _own(self, before: Layout, name: str, box: Region, demand: Demand) -> int:
        """Return at most how many bytes of a box are on the device already."""
        value = self.runs.graph.values[name]
        parts = self.runs.parts.of(before, value.shape)
        if parts is None or before.kind == "sums" or before.parity:
            return box.size * value.wire_itemsize
        own = _common(parts[before.devices.index(demand.device)], box)
        return own * value.wire_itemsize

    def _taken_along(
        self, run: Run, demand: Demand, known: Mapping[str, Region]
    ) -> dict[str, Region]:
        """Return the shares of what only later layers read: it moves with the rest."""
        values, found = self.runs.graph.values, {}
        for name in self.runs.anatomy.crossing[run.start]:
            if name not in known:
                parts = self.runs.parts.of(run.layout, values[name].shape)
                found[name] = parts[demand.place] if parts else values[name].region
        return found

    def _fetched(self, before: Layout, wanted: Mapping[str, Region], device: int | None) -> _Load:
        """Return the messages that a device receives for boxes of values in a layout."""
        messages, nbytes = 0.0, 0.0
        for name, box in self.runs.anatomy.published(wanted, form(before)).items():
            one = self._fetch(before, name, box, device)
            messages, nbytes = messages + one.messages, nbytes + one.nbytes
        return _Load(messages, nbytes)

    def _fetch(self, before: Layout, name: str, box: Region, device: int | None) -> _Load:
        value = self.runs.graph.values[name]
        everyone = before.everyone
        if before.kind == "sums" or before.parity:
            return self._rows(before, name, box, device)
        parts = self.runs.parts.of(before, value.shape)
        if parts is None or len(everyone) < 2:
            away = everyone[:1] != (device,)
            return _Load(away, away * box.size * value.wire_itemsize)
        messages = self._touched(before, parts, box)
        size = box.size
        if device in everyone:
            own = _common(parts[everyone.index(device)], box)
            messages, size = messages - (own > 0), size - own
        return _Load(messages, size * value.wire_itemsize)

    def _touched(self, before: Layout, parts: Sequence[Region], box: Region) -> int:
        """Return how many of the parts a box touches; of a grid, rows times those of one row."""
        if before.kind != "tiles" or before.rows == len(parts):
            axis = CHANNELS if before.kind == "blocks" else max(2, box.rank - 2)
            return _crossed(parts, axis, box)
        row = [part for part in parts if part.lo[-2] == parts[0].lo[-2]]
        rows = [part for part in parts if part.lo[-1] == 0]
        return _crossed(rows, -2, box) * _crossed(row, -1, box)

    def _rows(self, before: Layout, name: str, box: Region, device: int | None) -> _Load:
        """Return what coded rows, or partial sums, of a box are in messages."""
        value, rows = self.runs.graph.values[name], len(before.everyone)
        others = rows - (device in before.everyone)
        if before.kind == "sums":
            return _Load(others, others * box.size * value.itemsize)
        whole = box.with_axis(CHANNELS, 0, value.shape[CHANNELS]).size
        return _Load(others, others * whole * value.itemsize / len(before.devices))

    def _merging(self, run: Run) -> Cost:
        """Return the cost of adding partial sums where the run says."""
        graph, mergers = self.runs.graph, len(run.after.devices)
        name = linear_output(graph, graph.layers[run.end - 1].name)
        size = graph.values[name].region.size * graph.values[name].itemsize
        rows = len(run.layout.devices)
        sent = _Load(mergers - (mergers > 1), size * (mergers - (mergers > 1)) / mergers)
        received = _Load(rows - 1, size * (rows - 1) / mergers)
        end = self._end_of(run.after.devices[0])
        step = self.runs.parts.profiles[run.after.devices[0]].step_seconds
        cost = _exchange(sent, received, end, end)
        return cost._replace(latency=cost.latency + step, compute=step)

    @property
    def _gateway(self) -> _End:
        return _End(self.cluster.gateway_link, GENERIC.message_seconds)

    def _end(self, layout: Layout) -> _End:
        return self._end_of(layout.devices[0]) if layout.devices else self._gateway

    def _end_of(self, device: int) -> _End:
        parts = self.runs.parts
        profile = parts.profiles[device]
        return _End(parts.devices[device].link, profile.end_seconds, profile.byte_seconds)


def _count(layout: Layout) -> int:
    return max(1, len(layout.everyone))


def _crossed(parts: Sequence[Region], axis: int, box: Region) -> int:
    """Return how many parts that lie in a line on an axis a box touches."""
    lo, hi = box.lo[axis], box.hi[axis]
    return sum(part.lo[axis] < hi and lo < part.hi[axis] for part in parts)


def _common(one: Region, other: Region) -> int:
    """Return the elements that two boxes share."""
    size = 1
    for a, b, c, d in zip(one.lo, one.hi, other.lo, other.hi, strict=True):
        extent = min(b, d) - max(a, c)
        if extent <= 0:
            return 0
        size *= extent
    return size


def _exchange(sent: _Load, received: _Load, sender: _End, receiver: _End) -> Cost:
    """Return what it takes until the last message is through.

    Messages leave, travel and are taken in one after the other, all at once: the slowest of these
    decides. Where all devices exchange, each one handles both what it sends and what it receives.
    """
    if not received.messages:
        return Cost()
    leaving, taking = sender.handling(sent), receiver.handling(received)
    one_leaves, one_taken = sender.one(sent), receiver.one(received)
    out, into = sent.nbytes / sender.link.bandwidth, received.nbytes / receiver.link.bandwidth
    first = sender.link.latency + receiver.link.latency + one_leaves + one_taken
    handled = max(leaving - one_leaves, 0.0) + max(taking - one_taken, 0.0)
    last = max(out, into) / max(1.0, received.messages)
    latency = first + max(handled, out, into) + (last if handled > max(out, into) else 0.0)
    return Cost(latency, 0.0, leaving + taking, out, into)
