"""Which layers can be split, in which ways, and why others can't."""

from __future__ import annotations

from edgesplit.graph import ops
from edgesplit.graph.following import CHANNELS, SPACE
from edgesplit.graph.model import Graph, Layer, Node
from edgesplit.plan.allocation import Share, Stage
from edgesplit.plan.publishing import carried, map_shape

_RANK_OF_ROWS = 2


def why_not_split(graph: Graph, layer: Layer) -> str:
    """Return why a layer can't be split on its output; empty where it can."""
    heavy = layer.heavy
    if heavy is None:
        return "it has no heavy operator"
    if not ops.known(heavy):
        return f"{heavy.op} has no output split"
    if not all(graph.values[name].portable for name in heavy.outputs):
        return f"{heavy.op} {heavy.name} runs whole"
    shape = graph.values[heavy.outputs[0]].shape
    if len(shape) <= CHANNELS or shape[CHANNELS] < 2:
        return f"{heavy.name} has a single output channel"
    return ""


def why_not_coded(graph: Graph, layer: Layer) -> str:
    """Return why a layer can't have parity; empty where it can."""
    heavy = layer.heavy
    if reason := why_not_split(graph, layer):
        return reason
    assert heavy is not None  # noqa: S101 - it would be the reason
    if heavy.op not in {"Conv", "Gemm", "MatMul"}:
        return f"{heavy.op} {heavy.name} is not linear in constant weights"
    if not all(graph.values[name].constant for name in heavy.inputs[1:] if name):
        return f"the weights of {heavy.op} {heavy.name} are no constants"
    return _why_not_shape(graph, heavy)


def why_not_summed(graph: Graph, layer: Layer) -> str:
    """Return why a layer can't be split on its input; empty where it can."""
    if layer.heavy is None or ops.reduces(graph, layer.heavy) is None:
        return "it makes no sum that can be cut on its input"
    return ""


def why_not_tiled(graph: Graph, layer: Layer) -> str:
    """Return why a layer can't be split in tiles; empty where it can."""
    head = layer.heavy or layer.nodes[0]
    axes = len(graph.values[head.outputs[0]].shape) - SPACE
    if axes < 1:
        return f"{head.op} {head.name} makes no map"
    halves = tuple(Share("", tile=((half, half + 1),) * axes) for half in range(2))
    draft = Stage(layer.name, (layer.name,), "spatial", halves)
    if not map_shape(graph, draft) or (layer.heavy and layer.heavy not in carried(graph, draft)):
        return f"{head.op} {head.name} can't go on in tiles"
    return ""


def channels(graph: Graph, layer: Layer) -> int:
    """Return the number of output channels or rows of a layer that can be split."""
    assert layer.heavy is not None  # noqa: S101 - asked for splittable layers only
    return graph.values[layer.heavy.outputs[0]].shape[1]


def _why_not_shape(graph: Graph, heavy: Node) -> str:
    shape = graph.values[heavy.outputs[0]].shape
    if heavy.op == "Conv" and heavy.attributes.get("group", 1) != 1:
        return f"{heavy.name} is a grouped convolution"
    if heavy.op != "Conv" and len(shape) != _RANK_OF_ROWS:
        return f"{heavy.op} {heavy.name} has an output of {len(shape)} axes instead of 2"
    if heavy.op == "MatMul" and len(graph.values[heavy.inputs[1]].shape) != _RANK_OF_ROWS:
        return f"MatMul {heavy.name} has weights of other than 2 axes"
    return ""
