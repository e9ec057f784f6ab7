"""The table of operators: an operator is one entry; what isn't here runs whole."""

from __future__ import annotations

from collections.abc import Mapping

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.ops import matrix, pointwise, shaping, windows
from edgesplit.graph.ops.reduction import Reduction, partial, reduction
from edgesplit.graph.ops.site import Rule, Site, Step

_ELEMENTWISE = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast "
    "Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid "
    "HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg "
    "Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub "
    "Sum Tan Tanh ThresholdedRelu Where Xor"
)

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), pointwise.pointwise),
    "AveragePool": windows.pool,
    "BatchNormalization": pointwise.batch_normalization,
    "Concat": shaping.concat,
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "Dropout": pointwise.dropout,
    "Flatten": shaping.moved,
    "Gemm": matrix.gemm,
    "GlobalAveragePool": pointwise.global_pool,
    "GlobalMaxPool": pointwise.global_pool,
    "LRN": pointwise.lrn,
    "LogSoftmax": pointwise.softmax,
    "MatMul": matrix.matmul,
    "MaxPool": windows.pool,
    "Reshape": shaping.reshape,
    "Softmax": pointwise.softmax,
    "Squeeze": shaping.squeeze,
    "Transpose": shaping.transpose,
    "Unsqueeze": shaping.moved,
}

_IN_PASSING = frozenset(_ELEMENTWISE.split()) | {
    "BatchNormalization",
    "Dropout",
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
}


def known(node: Node) -> bool:
    """Tell whether the operator has a rule; one without runs whole."""
    return node.domain in {"", "ai.onnx"} and not node.opaque and node.op in RULES


def in_passing(node: Node) -> bool:
    """Tell whether ONNX Runtime does an operator along with the one before, or only renames."""
    return known(node) and node.op in _IN_PASSING


def step(graph: Graph, node: Node, out: Mapping[str, Region]) -> Step:
    """Return how the node makes the wanted boxes of its outputs."""
    if known(node) and set(out) == {node.outputs[0]}:
        found = RULES[node.op](_site(graph, node), out[node.outputs[0]])
        if found is not None:
            return found
    return _whole(graph, node)


def reduces(graph: Graph, node: Node) -> Reduction | None:
    """Return what a node adds over; None where its sum can't be taken in parts."""
    return reduction(_site(graph, node)) if known(node) else None


def partial_step(
    graph: Graph, node: Node, out: Mapping[str, Region], block: tuple[int, int], *, bias: bool
) -> Step:
    """Return how the node makes one part of the sum that its boxes are.

    Raises:
        ValueError: The node's sum can't be taken in parts.
    """
    reads = reduces(graph, node)
    if reads is None:
        raise ValueError(f"the sum of {node.op} {node.name} can't be taken in parts")
    return partial(step(graph, node, out), reads, block, bias=bias)


def _site(graph: Graph, node: Node) -> Site:
    inputs = tuple(graph.values[name] if name else None for name in node.inputs)
    return Site(node, inputs, graph.values[node.outputs[0]], graph.opset)


def _whole(graph: Graph, node: Node) -> Step:
    """All of every input makes all of every output."""
    return Step(
        reads=tuple(graph.values[name].region if name else None for name in node.inputs),
        produced={name: graph.values[name].region for name in node.outputs if name},
        attributes=dict(node.attributes),
        captured=tuple((name, graph.values[name].region) for name in node.captures),
    )
