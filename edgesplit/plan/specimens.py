"""Specimens: the pieces of a model that are worth measuring, each about one operator."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from edgesplit.cost.kernel import Kernel, anchors
from edgesplit.dataflow.region import Region
from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS, SPACE, keeps_tiles, leaving
from edgesplit.graph.model import Graph, Layer, Node
from edgesplit.graph.slicing import Partial, needs, useful
from edgesplit.plan.shard import ShardSpec
from edgesplit.plan.tasks import kernels_of, task_works

MOST = 400
"""Specimens of one model at most: those in the middle of large maps and whole ones come first."""

_MATRIX = 2
_GROUPS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
_GRIDS = ((2, 2), (2, 3), (3, 4), (5, 5))


@dataclass(frozen=True, slots=True)
class Specimen:
    """A sub-model to be timed; `kernels` are what its time is of, none of a whole model."""

    spec: ShardSpec
    kernels: tuple[Kernel, ...] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    """An anchor with what ONNX Runtime does along with it; `box` is the whole it makes."""

    graph: Graph
    anchor: Node
    nodes: tuple[Node, ...]

    @property
    def box(self) -> Region:
        return self.graph.values[self.anchor.outputs[0]].region


def group_sizes(devices: int) -> tuple[int, ...]:
    """Return into how many parts work may be cut on so many devices, a few of them."""
    return tuple(sorted({size for size in _GROUPS if size <= devices} | ({devices} - {0, 1})))


def whole_model(graph: Graph) -> Specimen:
    """Return the specimen that is all of a model, in one session."""
    inputs = tuple((port.name, Region.full(port.shape)) for port in graph.inputs)
    outputs = tuple((port.name, Region.full(port.shape)) for port in graph.outputs)
    names = tuple(node.name for node in graph.nodes)
    return Specimen(ShardSpec(0, names, inputs, outputs))


def specimens(
    graph: Graph, sizes: Sequence[int], known: Collection[Kernel] = ()
) -> tuple[Specimen, ...]:
    """Return what to measure of a model for groups of these sizes, each kernel once.

    Args:
        graph: The imported model.
        sizes: Numbers of devices that may share a layer; see `group_sizes`.
        known: Kernels that have been measured already.
    """
    found: dict[Kernel, Specimen] = {}
    groups = [group for layer in graph.layers for group in _groups(graph, layer)]
    for kind in (_whole, _strips, _input_blocks, _output_blocks, _tiles):
        for group in groups:
            for one in kind(group, sizes):
                (kernel,) = one.kernels
                if kernel not in known:
                    found.setdefault(kernel, one)
    return tuple(found.values())[:MOST]


def _groups(graph: Graph, layer: Layer) -> Iterator[_Group]:
    """Cut a layer at its anchors; what comes before the first one belongs to it."""
    chosen = anchors(graph)
    starts = [index for index, node in enumerate(layer.nodes) if node.name in chosen]
    ends = [*starts[1:], len(layer.nodes)]
    for start, end in zip(starts, ends, strict=True):
        before = layer.nodes[:start] if start == starts[0] else ()
        anchor, *after = layer.nodes[start:end]
        shape = graph.values[anchor.outputs[0]].shape
        alike = [node for node in after if graph.values[node.outputs[0]].shape == shape]
        yield _Group(graph, anchor, (*before, anchor, *alike))


def _whole(group: _Group, _: Sequence[int]) -> Iterator[Specimen]:
    yield from _specimen(group, group.box)


def _strips(group: _Group, sizes: Sequence[int]) -> Iterator[Specimen]:
    axis = _first_axis(group.box)
    if keeps_tiles(group.graph, group.anchor, [axis]):
        for size in sizes:
            if (strip := _middle(group.box, axis, size)) is not None:
                yield from _specimen(group, strip)


def _tiles(group: _Group, sizes: Sequence[int]) -> Iterator[Specimen]:
    first, last = _first_axis(group.box), group.box.rank - 1
    if first == last or not keeps_tiles(group.graph, group.anchor, [first, last]):
        return
    for rows, columns in _GRIDS:
        line = _middle(group.box, first, rows) if rows * columns <= max(sizes, default=1) else None
        tile = _middle(line, last, columns) if line is not None else None
        if tile is not None:
            yield from _specimen(group, tile)


def _output_blocks(group: _Group, sizes: Sequence[int]) -> Iterator[Specimen]:
    heavy = group.anchor.name in group.graph.heavy
    few = sizes if heavy and group.box.rank <= _MATRIX else {*sizes[:heavy], *sizes[-1:]}
    for size in sorted(few):
        block = _middle(group.box, CHANNELS, size) if group.box.rank > CHANNELS else None
        if block is not None and _makes(group, block):
            yield from _specimen(group, block)


def _input_blocks(group: _Group, sizes: Sequence[int]) -> Iterator[Specimen]:
    reads = ops.reduces(group.graph, group.anchor)
    if reads is None or group.anchor.op == "Conv":
        return
    for size in sizes:
        if size <= reads.extent:
            lo, hi = _bounds(0, reads.extent, size)
            partial = Partial(group.anchor.name, lo, hi, first=True)
            alone = _Group(group.graph, group.anchor, (group.anchor,))
            yield from _specimen(alone, alone.box, partial)


def _specimen(group: _Group, box: Region, partial: Partial | None = None) -> Iterator[Specimen]:
    """Yield the specimen that makes a box; none where it reads what is no array."""
    graph, anchor = group.graph, group.anchor
    whole = len(anchor.outputs) > 1
    names = leaving(graph, group.nodes)
    wanted = {name: graph.values[name].region if whole else box for name in names}
    boxes = needs(graph, group.nodes, wanted, partial)
    nodes = useful(group.nodes, boxes)
    made = {name for node in nodes for name in node.outputs}
    values = graph.values
    read = sorted(name for name in boxes if name not in made and not values[name].constant)
    if anchor not in nodes or not all(values[name].portable for name in (*read, *names)):
        return
    spec = ShardSpec(
        task=0,
        nodes=tuple(node.name for node in nodes),
        inputs=tuple((name, boxes[name]) for name in read),
        outputs=tuple(wanted.items()),
        partial=partial,
    )
    works = task_works(graph, spec, {anchor.name})
    yield Specimen(spec, kernels_of(works))


def _makes(group: _Group, block: Region) -> bool:
    """Tell whether the anchor makes a block, and not more for it."""
    name = group.anchor.outputs[0]
    return ops.step(group.graph, group.anchor, {name: block}).produced[name] == block


def _first_axis(box: Region) -> int:
    """Return the axis that strips are cut on; that of a value without a map is beyond its last."""
    return SPACE + max(0, box.rank - SPACE - 2)


def _middle(box: Region, axis: int, parts: int) -> Region | None:
    """Return the part in the middle of a box that is cut in equal ones; None if it is too short."""
    lo, hi = box.lo[axis], box.hi[axis]
    return box.with_axis(axis, *_bounds(lo, hi, parts)) if hi - lo >= parts else None


def _bounds(lo: int, hi: int, parts: int) -> tuple[int, int]:
    """Return the longest part near the middle: it is the one that everybody waits for."""
    length = -(-(hi - lo) // parts)
    start = lo + min((hi - lo) * (parts // 2) // parts, hi - lo - length)
    return start, start + length
