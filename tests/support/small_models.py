"""Small ONNX models, and the plainest way to compute a box of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from edgesplit.dataflow.region import Region
from edgesplit.graph.importer import import_model
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import Literal, Read, closure, localise, needs, useful

Array = NDArray[Any]


@dataclass
class Draft:
    """A small model in the making: nodes are added one after the other, `at` is the last value."""

    shape: tuple[int, ...]
    opset: int = 17
    seed: int = 0
    at: str = "x"
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        rng = np.random.default_rng((self.seed, len(self.weights)))
        return self.constant((rng.standard_normal(shape) * scale).astype(np.float32))

    def constant(self, array: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(
        self,
        op: str,
        *others: str,
        name: str = "",
        inputs: Sequence[str] = (),
        **attributes: Any,  # noqa: ANN401 - as ONNX has,
    ) -> str:
        out = f"v{len(self.nodes)}"
        names = inputs or [self.at, *others]
        self.nodes.append(helper.make_node(op, names, [out], name=name, **attributes))
        self.at = out
        return out

    def model(self, *outputs: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "draft",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [onnx.ValueInfoProto(name=name) for name in outputs or (self.at,)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def save(self, folder: Path, *outputs: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "draft.onnx"
        path.write_bytes(self.model(*outputs).SerializeToString())
        return path

    def imported(self, folder: Path, *outputs: str) -> Graph:
        return import_model(self.save(folder, *outputs), folder / "cache")

    def x(self) -> Array:
        return np.random.default_rng(self.seed).standard_normal(self.shape).astype(np.float32)


def session(model: bytes, folder: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if folder is not None:
        key = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(key, str(folder))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def whole(graph: Graph, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Run the imported model and return some of its values, whole."""
    model = onnx.load(graph.path, load_external_data=False)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    found = session(model.SerializeToString(), graph.path.parent).run(list(names), dict(feeds))
    return dict(zip(names, found, strict=True))


class _Cut:
    """The plainest shard: nodes localised one by one, slices wherever a box is not the whole."""

    def __init__(self, graph: Graph, given: Mapping[str, Region]) -> None:
        self.graph = graph
        self.have = {n: v.region for n, v in graph.values.items() if v.constant} | dict(given)
        self.source = onnx.load(graph.path)
        self.body = GraphProto(name="tile", initializer=self.source.graph.initializer)
        self.body.input.extend(onnx.ValueInfoProto(name=name) for name in given)
        for info, (name, box) in zip(self.body.input, given.items(), strict=True):
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(graph.values[name].dtype))
            info.CopyFrom(helper.make_tensor_value_info(name, kind, box.shape))
        self.count = 0

    def ints(self, ints: Iterable[int]) -> str:
        self.count += 1
        array = np.array(list(ints), np.int64)
        self.body.initializer.append(numpy_helper.from_array(array, f"ints{self.count}"))
        return f"ints{self.count}"

    def read(self, read: Read | Literal | None) -> str:
        if read is None:
            return ""
        if isinstance(read, Literal):
            return self.ints(read.ints)
        have = self.have[read.value]
        if have == read.region:
            return read.value
        box = read.region.within(have)
        bounds = {"starts": box.lo, "ends": box.hi, "axes": range(box.rank)}
        old = self.graph.opset < 10
        inputs = [] if old else [self.ints(ints) for ints in bounds.values()]
        self.count += 1
        out = f"slice{self.count}"
        node = helper.make_node("Slice", [read.value, *inputs], [out])
        if old:
            node.attribute.extend(helper.make_attribute(*bound) for bound in bounds.items())
        self.body.node.append(node)
        return out

    def add(self, node: Node, boxes: Mapping[str, Region]) -> None:
        local = localise(self.graph, node, boxes, self.have)
        inputs = [self.read(read) for read in local.inputs]
        outputs = [name if name in local.produced else "" for name in node.outputs]
        self.have.update(local.produced)
        made = helper.make_node(node.op, inputs, outputs, node.name, domain=node.domain)
        original = next(n for n in self.source.graph.node if n.name == node.name)
        kinds = {attribute.name: attribute.type for attribute in original.attribute}
        if node.opaque:
            made.attribute.extend(original.attribute)
        else:
            made.attribute.extend(
                helper.make_attribute(name, value, attr_type=kinds.get(name))
                for name, value in local.attributes.items()
            )
        pools = [local.produced[node.outputs[0]]] if "Pool" in node.op else []
        declared = [self.declared(made, box) for box in pools]
        self.body.node.extend([made, *declared])

    def declared(self, made: NodeProto, box: Region) -> NodeProto:
        """Say how many windows there are, which ONNX's shape inference may count otherwise."""
        name, made.output[0] = made.output[0], f"{made.output[0]}(raw)"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.graph.values[name].dtype))
        raw = helper.make_tensor_value_info(made.output[0], kind, box.shape)
        self.body.value_info.append(raw)
        return helper.make_node("Reshape", [made.output[0], self.ints(box.shape)], [name])

    def run(self, feeds: Mapping[str, Array], name: str, want: Region) -> Array:
        self.body.output.append(onnx.ValueInfoProto(name=self.read(Read(name, want))))
        opsets = self.source.opset_import
        model = helper.make_model(self.body, opset_imports=opsets, ir_version=8)
        (found,) = session(model.SerializeToString()).run(None, dict(feeds))
        return np.asarray(found)


def tile(graph: Graph, arrays: Mapping[str, Array], name: str, want: Region) -> Array:
    """Compute a box of a value from nothing but the needed boxes of `arrays`."""
    nodes = closure(graph, [name], arrays)
    boxes = needs(graph, nodes, {name: want})
    given = {value: box for value, box in boxes.items() if value in arrays and value != name}
    cut = _Cut(graph, given)
    for node in useful(nodes, boxes):
        cut.add(node, boxes)
    feeds = {value: arrays[value][box.slices] for value, box in given.items()}
    return cut.run(feeds, name, want)


def same_as_whole(graph: Graph, feeds: Mapping[str, Array], *wants: Region) -> None:
    """Compare boxes of the first output, each computed on its own, with the whole model."""
    name = graph.outputs[0].name
    full = whole(graph, feeds, [name])[name]
    for want in wants:
        found = tile(graph, feeds, name, want)
        assert found.shape == want.shape
        error = np.abs(found.astype(np.float64) - full[want.slices]).max()
        assert error <= 1e-5 * max(float(np.abs(full).max()), 1e-9), (want, error)
