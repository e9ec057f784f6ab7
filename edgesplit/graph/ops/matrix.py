"""Products of matrices."""

from __future__ import annotations

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.pointwise import broadcast
from edgesplit.graph.ops.site import Site, Step


def gemm(site: Site, out: Region) -> Step:
    """Rows of A, columns of B, the broadcast box of C."""
    attributes = site.node.attributes
    a = _operand(out, 0, site.shape(0), free=1 if attributes.get("transA", 0) else 0)
    b = _operand(out, 1, site.shape(1), free=0 if attributes.get("transB", 0) else 1)
    bias = [broadcast(out, c.shape) if c else None for c in site.inputs[2:]]
    return site.step([a, b, *bias], out)


def matmul(site: Site, out: Region) -> Step | None:
    """Rows of the first, columns of the second, axes before them broadcast; vectors run whole."""
    first, second = site.shape(0), site.shape(1)
    if len(first) < 2 or len(second) < 2:
        return None
    a = broadcast(out, (*first[:-1], 1)).with_axis(len(first) - 1, 0, first[-1])
    b = broadcast(out, (*second[:-2], 1, second[-1]))
    return site.step([a, b.with_axis(len(second) - 2, 0, second[-2])], out)


def _operand(out: Region, axis: int, shape: tuple[int, ...], free: int) -> Region:
    """Return the box of a matrix: the output's bounds on its free axis, all of the other."""
    return Region.full(shape).with_axis(free, out.lo[axis], out.hi[axis])
