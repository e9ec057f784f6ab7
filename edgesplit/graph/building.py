"""From a file that was read to a graph: folded, named, measured, grouped into layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from onnx import ModelProto

from edgesplit.errors import ModelError
from edgesplit.graph import folding, store, translate
from edgesplit.graph.layers import arrange, group_layers
from edgesplit.graph.model import Graph, Node, Value
from edgesplit.graph.naming import name_first_outputs, name_nodes
from edgesplit.graph.probing import marked
from edgesplit.graph.reading import Source

_STANDARD = {"", "ai.onnx"}


def build_graph(source: Source, folder: Path, digest: str, probes: Path) -> Graph:
    """Write the folded model of a source into a folder and return its graph.

    What operators' probes found is looked up in the file `probes`, and added to it.

    Raises:
        ModelError: ONNX Runtime can't prepare or run the model, or its inputs or outputs are not
            tensors of numbers of fixed shapes.
    """
    where = str(source.path)
    inputs = translate.input_ports(source.model.graph, where)
    target = folder / store.MODEL
    folding.fold(source.model, source.path.parent, target, where)
    model = _tidied(target)
    measured = _measured(model, folder, where)
    nodes = translate.nodes_of(model.graph)
    values = translate.values_of(model.graph, inputs, nodes, measured)
    nodes = arrange(_probed(nodes, values, _opset(model), probes), values)
    return Graph(
        name=source.path.stem,
        digest=digest,
        path=target,
        values=values,
        nodes=nodes,
        layers=group_layers(nodes, values),
        inputs=inputs,
        outputs=translate.output_ports(model.graph, values, where),
        opset=_opset(model),
    )


def _probed(
    nodes: Sequence[Node], values: Mapping[str, Value], opset: int, probes: Path
) -> tuple[Node, ...]:
    verdicts = store.recall_verdicts(probes)
    known = len(verdicts)
    found = marked(nodes, values, opset, verdicts)
    if len(verdicts) > known:
        store.keep_verdicts(probes, verdicts)
    return found


def _tidied(target: Path) -> ModelProto:
    """Name the folded model's nodes, in the file too, and drop domains that it doesn't use."""
    model = onnx.load(target, load_external_data=False)
    if not model.graph.node:
        raise ModelError(
            "computes nothing from its inputs", remedy="export the model together with its input"
        )
    name_nodes(model.graph.node)
    name_first_outputs(model.graph.node)
    used = _STANDARD | {node.domain for node in model.graph.node}
    if not any(node.op_type in {"If", "Loop", "Scan"} for node in model.graph.node):
        opsets = [opset for opset in model.opset_import if opset.domain in used]
        del model.opset_import[:]
        model.opset_import.extend(opsets)
    target.write_bytes(model.SerializeToString())
    return model


def _measured(model: ModelProto, folder: Path, where: str) -> dict[str, folding.Measured]:
    """Measure the folded model through a copy beside it that publishes every value."""
    probe = folder / "probe.onnx"
    probe.write_bytes(folding.publish_all(model).SerializeToString())
    try:
        return folding.measure(probe, translate.input_ports(model.graph, where), where)
    finally:
        probe.unlink()


def _opset(model: ModelProto) -> int:
    return max((o.version for o in model.opset_import if o.domain in _STANDARD), default=0)
