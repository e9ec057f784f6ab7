"""Partial sums: an operator that adds over its input channels, cut on those."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgesplit.dataflow.region import Region
from edgesplit.graph.ops.site import Site, Step

_MATRIX = 2
_BIAS_OPTIONAL = 11
"""The opset from which a Gemm may do without its bias."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """What an operator adds over: `extent` elements, on an axis of its data and of its weights."""

    extent: int
    data: int
    weights: int


def reduction(site: Site) -> Reduction | None:
    """Return what an operator adds over; None where its sum can't be taken in parts."""
    attributes = site.node.attributes
    match site.node.op:
        case "Conv" if attributes.get("group", 1) == 1:
            return Reduction(site.shape(1)[1], 1, 1)
        case "Gemm":
            data = 0 if attributes.get("transA", 0) else 1
            weights = 1 if attributes.get("transB", 0) else 0
            return Reduction(site.shape(0)[data], data, weights)
        case "MatMul" if len(site.shape(1)) == _MATRIX and len(site.shape(0)) >= _MATRIX:
            return Reduction(site.shape(0)[-1], len(site.shape(0)) - 1, 0)
    return None


def partial(
    site: Site, step: Step, reads: Reduction, block: tuple[int, int], *, bias: bool
) -> Step:
    """Return a step that adds over a block only; one of the parts takes the bias along.

    Before opset 11 a Gemm can't be without it, so the other parts take it times 0.
    """
    data, weights, *rest = step.reads
    cut = (_cut(data, reads.data, block), _cut(weights, reads.weights, block))
    if bias or not rest:
        return replace(step, reads=(*cut, *rest))
    if site.node.op == "Gemm" and site.opset < _BIAS_OPTIONAL:
        return replace(step, reads=(*cut, *rest), attributes={**step.attributes, "beta": 0.0})
    return replace(step, reads=(*cut, *(None for _ in rest)))


def _cut(region: Region | None, axis: int, block: tuple[int, int]) -> Region | None:
    return None if region is None else region.with_axis(axis, *block)
