"""What a run costs after a layout: what is fetched, by whom, in how many messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgesplit.cost.profiles import GENERIC
from edgesplit.dataflow.region import Region
from edgesplit.graph.following import CHANNELS
from edgesplit.graph.model import Value
from edgesplit.plan.publishing import linear_output
from edgesplit.plan.search.anatomy import form
from edgesplit.plan.search.demands import Demand, Walk
from edgesplit.plan.search.exchange import Cost, End, Load, exchange
from edgesplit.plan.search.layouts import Layout
from edgesplit.plan.search.runs import Run, Runs
from edgesplit.spec.cluster import Cluster


@dataclass(frozen=True)
class Pricing:
    """Costs of runs on a cluster; every price is computed once."""

    runs: Runs
    cluster: Cluster
    _seen: dict[tuple[Layout, int], Cost] = field(default_factory=dict, compare=False)
    _ends: dict[tuple[int, int], End] = field(default_factory=dict, compare=False)

    def run(self, before: Layout, run: Run) -> Cost:
        """Return the cost of a run after a layout of what it reads."""
        key = (before, id(run))
        if key not in self._seen:
            served = self._served(before, run)
            costs = [self._share(before, run, demand, served) for demand in run.demands]
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
        sent = Load(received.messages / _count(before), received.nbytes / _count(before))
        return exchange(sent, received, self._end(before, _count(before)), self._gateway)

    def _share(self, before: Layout, run: Run, demand: Demand, served: float) -> Cost:
        """Return the cost of one share, whose device sends `served` bytes at least."""
        boxes, seconds = demand.fetched, demand.seconds
        if before != run.layout:
            boxes = {**boxes, **self._taken_along(run, demand, boxes)}
        elif run.split == "whole":  # It is one task with what comes before.
            seconds -= self.runs.parts.profiles[demand.device].step_seconds
        seconds += self._catching_up(before, boxes, demand.device)
        others = len(run.layout.everyone) > 1
        received = self._fetched(before, boxes, demand.device, others=others)
        ratio = len(run.layout.everyone) / _count(before)
        sent = Load(received.messages * ratio, max(received.nbytes * ratio, served))
        crowd = max(_count(before), len(run.layout.everyone))
        receiver = self._end_of(demand.device, crowd)
        cost = exchange(sent, received, self._end(before, crowd), receiver)
        merging = self._merging(run) if run.after.kind != run.layout.kind else Cost()
        return Cost(
            cost.latency + seconds + merging.latency,
            cost.compute + seconds + merging.compute,
            cost.messages + merging.messages,
            cost.sending + merging.sending,
            cost.receiving + merging.receiving,
            demand.memory,
        )

    def _catching_up(self, before: Layout, boxes: Mapping[str, Region], device: int) -> float:
        """Return what a device takes for what the run before has left to it."""
        undone = self.runs.anatomy.undone(boxes, form(before))
        if not undone:
            return 0.0
        walk = Walk(self.runs.steps, self.runs.parts.profiles[device])
        for name, box in boxes.items():
            walk.want(name, box)
        walk.back(undone)
        return walk.seconds

    def _served(self, before: Layout, run: Run) -> float:
        """Return the bytes that a tile sends where its neighbours reach into it all around.

        How far they reach is seen at the shares that are known: tiles of consecutive maps don't lie
        over each other exactly, so that some send more than they receive.
        """
        if before != run.layout or before.kind != "tiles":
            return 0.0
        known = [self.runs.anatomy.published(d.fetched, form(before)) for d in run.demands]
        served = 0.0
        for name in known[0]:
            value = self.runs.graph.values[name]
            parts = self.runs.parts.of(before, value.shape)
            if parts is not None:
                tiles = [parts[demand.place] for demand in run.demands]
                reached = _reached(tiles, [boxes.get(name, parts[0]) for boxes in known], value)
                served += reached * value.wire_itemsize
        return served

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

    def _fetched(
        self,
        before: Layout,
        wanted: Mapping[str, Region],
        device: int | None,
        *,
        others: bool = False,
    ) -> Load:
        """Return the messages that a device receives for boxes of values in a layout.

        Where `others` need as much, what lies on one device alone is away for one of them.
        """
        messages, nbytes = 0.0, 0.0
        for name, box in self.runs.anatomy.published(wanted, form(before)).items():
            one = self._fetch(before, name, box, device, others=others)
            messages, nbytes = messages + one.messages, nbytes + one.nbytes
        return Load(messages, nbytes)

    def _fetch(
        self, before: Layout, name: str, box: Region, device: int | None, *, others: bool
    ) -> Load:
        value = self.runs.graph.values[name]
        everyone = before.everyone
        if before.kind == "sums" or before.parity:
            return self._rows(before, name, box, device)
        parts = self.runs.parts.of(before, value.shape)
        if parts is None or len(everyone) < 2:
            away = others or everyone[:1] != (device,)
            return Load(away, away * box.size * value.wire_itemsize)
        messages = self._touched(before, parts, box)
        size = box.size
        if device in everyone:
            own = _common(parts[everyone.index(device)], box)
            messages, size = messages - (own > 0), size - own
        return Load(messages, size * value.wire_itemsize)

    def _touched(self, before: Layout, parts: Sequence[Region], box: Region) -> int:
        """Return how many of the parts a box touches; of a grid, rows times those of one row."""
        if before.kind != "tiles" or before.rows == len(parts):
            axis = CHANNELS if before.kind == "blocks" else max(2, box.rank - 2)
            return _crossed(parts, axis, box)
        row = [part for part in parts if part.lo[-2] == parts[0].lo[-2]]
        rows = [part for part in parts if part.lo[-1] == 0]
        return _crossed(rows, -2, box) * _crossed(row, -1, box)

    def _rows(self, before: Layout, name: str, box: Region, device: int | None) -> Load:
        """Return what coded rows, or partial sums, of a box are in messages."""
        value, rows = self.runs.graph.values[name], len(before.everyone)
        others = rows - (device in before.everyone)
        if before.kind == "sums":
            return Load(others, others * box.size * value.itemsize)
        whole = box.with_axis(CHANNELS, 0, value.shape[CHANNELS]).size
        return Load(others, others * whole * value.itemsize / len(before.devices))

    def _merging(self, run: Run) -> Cost:
        """Return the cost of adding partial sums where the run says."""
        graph, mergers = self.runs.graph, len(run.after.devices)
        name = linear_output(graph, graph.layers[run.end - 1].name)
        size = graph.values[name].region.size * graph.values[name].itemsize
        rows = len(run.layout.devices)
        sent = Load(mergers - (mergers > 1), size * (mergers - (mergers > 1)) / mergers)
        received = Load(rows - 1, size * (rows - 1) / mergers)
        end = self._end_of(run.after.devices[0], rows)
        step = self.runs.parts.profiles[run.after.devices[0]].step_seconds
        cost = exchange(sent, received, end, end)
        return cost._replace(latency=cost.latency + step, compute=cost.compute + step)

    @property
    def _gateway(self) -> End:
        return End(self.cluster.gateway_link, GENERIC.message_seconds)

    def _end(self, layout: Layout, crowd: int) -> End:
        return self._end_of(layout.devices[0], crowd) if layout.devices else self._gateway

    def _end_of(self, device: int, crowd: int) -> End:
        """Return a device's end of its link, while so many devices exchange."""
        key = (device, crowd)
        if key not in self._ends:
            parts = self.runs.parts
            profile, link = parts.profiles[device].among(crowd), parts.devices[device].link
            price, byte = profile.message_seconds, profile.byte_seconds
            self._ends[key] = End(link, price, byte, profile.held_seconds)
        return self._ends[key]


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


def _reached(tiles: Sequence[Region], boxes: Sequence[Region], value: Value) -> int:
    """Return the elements of the last tile that others take, who reach as far as these boxes do."""
    last, size = tiles[-1], 1
    for axis, extent in enumerate(value.shape):
        pairs = list(zip(tiles, boxes, strict=True))
        back = max(0, *(tile.lo[axis] - box.lo[axis] for tile, box in pairs))
        on = max(0, *(box.hi[axis] - tile.hi[axis] for tile, box in pairs))
        size *= min(extent, last.hi[axis] + back) - max(0, last.lo[axis] - on)
    return size - last.size
