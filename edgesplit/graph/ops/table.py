"""The table of operators: an operator is one entry; what isn't here runs whole."""

from __future__ import annotations

from collections.abc import Mapping

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.ops import (
    cutting,
    matrix,
    moving,
    pointwise,
    reducing,
    resizing,
    shaping,
    transposed,
    windows,
)
from edgesplit.graph.ops.reduction import Reduction, partial, reduction
from edgesplit.graph.ops.site import JointRule, Rule, Site, Step

_ELEMENTWISE = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast "
    "Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid "
    "HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg "
    "Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub "
    "Sum Tan Tanh ThresholdedRelu Where Xor"
)

_REDUCING = (
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare"
)

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), pointwise.pointwise),
    **dict.fromkeys(_REDUCING.split(), reducing.reduce_axes),
    "ArgMax": reducing.arg_axis,
    "ArgMin": reducing.arg_axis,
    "AveragePool": windows.pool,
    "BatchNormalization": pointwise.batch_normalization,
    "Concat": shaping.concat,
    "Conv": windows.conv,
    "ConvTranspose": transposed.conv_transpose,
    "DepthToSpace": moving.depth_to_space,
    "Dropout": pointwise.dropout,
    "Expand": moving.expand,
    "Flatten": shaping.moved,
    "Gather": moving.gather,
    "Gemm": matrix.gemm,
    "GlobalAveragePool": pointwise.global_pool,
    "GlobalMaxPool": pointwise.global_pool,
    "Hardmax": pointwise.softmax,
    "InstanceNormalization": reducing.instance_normalization,
    "LRN": pointwise.lrn,
    "LayerNormalization": reducing.layer_normalization,
    "LogSoftmax": pointwise.softmax,
    "LpNormalization": reducing.lp_normalization,
    "MatMul": matrix.matmul,
    "MaxPool": windows.pool,
    "MeanVarianceNormalization": reducing.mean_variance,
    "Pad": cutting.pad,
    "RMSNormalization": reducing.layer_normalization,
    "Reshape": shaping.reshape,
    "Resize": resizing.resize,
    "Slice": cutting.slice_box,
    "Softmax": pointwise.softmax,
    "SpaceToDepth": moving.space_to_depth,
    "Squeeze": shaping.squeeze,
    "Tile": moving.tile,
    "Transpose": shaping.transpose,
    "Unsqueeze": shaping.moved,
    "Upsample": resizing.resize,
}
"""Rules of operators of whose outputs only the first is asked for."""

JOINT_RULES: Mapping[str, JointRule] = {"Split": cutting.split}

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
    return (
        node.domain in {"", "ai.onnx"}
        and not (node.opaque or node.whole)
        and (node.op in RULES or node.op in JOINT_RULES)
    )


def in_passing(node: Node) -> bool:
    """Tell whether ONNX Runtime does an operator along with the one before, or only renames."""
    return known(node) and node.op in _IN_PASSING


def step(graph: Graph, node: Node, out: Mapping[str, Region]) -> Step:
    """Return how the node makes the wanted boxes of its outputs."""
    return (_local(graph, node, out) if known(node) else None) or _whole(graph, node)


def _local(graph: Graph, node: Node, out: Mapping[str, Region]) -> Step | None:
    """Return how the node's rule makes the boxes; None where it has none for them."""
    if node.op in JOINT_RULES:
        return JOINT_RULES[node.op](_site(graph, node), out)
    if set(out) == {node.outputs[0]}:
        return RULES[node.op](_site(graph, node), out[node.outputs[0]])
    return None


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
    return partial(_site(graph, node), step(graph, node, out), reads, block, bias=bias)


def _site(graph: Graph, node: Node) -> Site:
    inputs = tuple(graph.values[name] if name else None for name in node.inputs)
    outputs = tuple(graph.values[name] if name else None for name in node.outputs)
    return Site(node, inputs, outputs, graph.opset)


def _whole(graph: Graph, node: Node) -> Step:
    """All of every input makes all of every output."""
    return Step(
        reads=tuple(graph.values[name].region if name else None for name in node.inputs),
        produced={name: graph.values[name].region for name in node.outputs if name},
        attributes=dict(node.attributes),
        captured=tuple((name, graph.values[name].region) for name in node.captures),
    )
