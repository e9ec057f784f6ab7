"""The sub-model of a shard: nodes rewritten for boxes, weights sliced, nothing written yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgesplit.dataflow.region import Region
from edgesplit.errors import ShardError
from edgesplit.graph.model import Graph, Node
from edgesplit.graph.slicing import Literal, Localised, Read, localise, needs
from edgesplit.plan.shard import ShardSpec
from edgesplit.shards.nodes import attribute, is_doubtful, nested, typed
from edgesplit.shards.parity import parity_constants
from edgesplit.shards.rounding import QUANTISING, decode, encode

Array = NDArray[Any]
_SLICE_BY_INPUTS = 10


def submodel(graph: Graph, spec: ShardSpec) -> ir.Model:
    """Return the ONNX model of a shard, its large constants still views of the model's file.

    Raises:
        ShardError: The model's file doesn't hold what the graph says, or a parity row is asked of
            an operator that has none.
    """
    whole = ir.load(graph.path)
    cut = _Cut(graph, whole, spec)
    cut.run()
    body = ir.Graph(
        inputs=cut.inputs,
        outputs=cut.outputs,
        nodes=cut.nodes,
        initializers=cut.constants,
        opset_imports=whole.graph.opset_imports | cut.domains,
        name="shard",
    )
    return ir.Model(
        body,
        ir_version=whole.ir_version,
        producer_name="edgesplit",
        functions=list(whole.functions.values()),
    )


class _Cut:
    """One pass over the nodes of a shard, in topological order.

    `_have` is the box, in value coordinates, that the local value of each name stands for.
    """

    def __init__(self, graph: Graph, whole: ir.Model, spec: ShardSpec) -> None:
        self._graph = graph
        self._spec = spec
        self._opset = whole.graph.opset_imports.get("", 0)
        self._originals = {
            value.name: node for node in whole.graph for value in node.outputs if value.name
        }
        self._initializers = whole.graph.initializers
        self._wanted = spec.wanted
        self._encodings = dict(spec.encodings)
        self._have: dict[str, Region] = {
            name: value.region for name, value in graph.values.items() if value.constant
        }
        self._local: dict[str, ir.Value] = {}
        self._wire: dict[str, ir.Value] = {}
        self._crops: dict[Read, ir.Value] = {}
        self._constants: dict[str, ir.Value] = {}
        self.nodes: list[ir.Node] = []
        self.inputs: list[ir.Value] = []
        self.outputs: list[ir.Value] = []

    @property
    def domains(self) -> dict[str, int]:
        """Versions of the operators that the model itself may not use."""
        return {QUANTISING: 1} if any(node.domain == QUANTISING for node in self.nodes) else {}

    @property
    def constants(self) -> list[ir.Value]:
        """Initialisers in the order of their first use."""
        return list(self._constants.values())

    def run(self) -> None:
        nodes = [self._graph.node(name) for name in self._spec.nodes]
        boxes = needs(self._graph, nodes, self._wanted, self._spec.partial)
        for name, region in self._spec.inputs:
            self._have[name] = region
            self._take(name, region)
        for node in nodes:
            local = localise(self._graph, node, boxes, self._have, self._spec.partial)
            self._add(node, local)
        for name, region in self._spec.outputs:
            self.outputs.append(self._output(name, region))

    def _take(self, name: str, region: Region) -> None:
        """Add an input, in full precision or as it travels."""
        if name in self._spec.encoded:
            self.inputs.append(self._typed_encoded(name, region))
            self._local[name] = ir.Value(name=self._internal_name(name, region))
            self._decode(name, self.inputs[-1])
        else:
            self._local[name] = self._typed(name, region)
            self.inputs.append(self._local[name])
            self._round(name, self._fresh(f"{name}(rounded)"))

    def _round(self, name: str, rounded: str) -> None:
        """Let all who read a value from here on read what travels of it; `rounded` is its name."""
        if name not in self._encodings:
            return
        exact, wire = self._local[name], self._graph.wire_name(name)
        whole = self._wanted.get(name) == self._have[name]
        self._wire[name] = ir.Value(name=wire if whole else f"{wire}[{self._have[name]}]")
        encoding = self._encodings[name]
        self.nodes += encode(exact, self._wire[name], encoding, self._opset, self._constant)
        self._local[name] = ir.Value(name=rounded)
        self._decode(name, self._wire[name])

    def _decode(self, name: str, encoded: ir.Value) -> None:
        self.nodes += decode(encoded, self._local[name], self._encodings[name], self._constant)

    def _add(self, node: Node, local: Localised) -> None:
        original = self._original(node)
        parity = self._parity(node)
        inputs = [
            self._constant(f"{node.inputs[position]}(parity)", parity[position])
            if position in parity
            else self._input(read)
            for position, read in enumerate(local.inputs)
        ]
        for name, region in local.produced.items():
            self._have[name] = region
            self._local[name] = ir.Value(name=self._internal_name(name, region))
        outputs = [
            self._local[n] if n in local.produced else ir.Value(name="") for n in node.outputs
        ]
        doubtful = is_doubtful(node, local.attributes)
        made = [ir.Value(name=v.name and self._fresh(f"{v.name}(raw)")) for v in outputs]
        self.nodes.append(
            ir.Node(
                node.domain,
                node.op,
                inputs,
                attributes=self._attributes(node, original, local.attributes),
                outputs=made if doubtful else outputs,
                name=node.name,
                overload=original.overload,
            )
        )
        if doubtful:
            for raw, output, name in zip(made, outputs, node.outputs, strict=True):
                if output.name:
                    self._declare(raw, local.produced[name].shape, output)
        for name in filter(self._encodings.__contains__, local.produced):
            plain = self._local[name]
            plain.name, rounded = self._fresh(f"{name}(exact)"), str(plain.name)
            self._round(name, rounded)

    def _declare(self, raw: ir.Value, shape: tuple[int, ...], output: ir.Value) -> None:
        """Say which shape a value has, where ONNX's shape inference thinks otherwise."""
        name = self._fresh(f"shape of {output.name}")
        self.nodes.append(
            ir.Node("", "Reshape", [raw, self._ints(shape)], outputs=[output], name=name)
        )

    def _original(self, node: Node) -> ir.Node:
        for name in filter(None, node.outputs):
            if name in self._originals:
                return self._originals[name]
        raise ShardError(
            f"node {node.name} isn't in the model's file any more",
            where=str(self._graph.path),
            remedy="delete the file, it is a cached copy, and import the model again",
        )

    def _attributes(
        self, node: Node, original: ir.Node, plain: Mapping[str, Any]
    ) -> Iterable[ir.Attr]:
        if node.opaque:
            self._rebind(original)
            return original.attributes.values()
        return [attribute(name, value, original) for name, value in sorted(plain.items())]

    def _rebind(self, original: ir.Node) -> None:
        """Let the subgraphs of an opaque node read the shard's values instead of the model's."""
        for inner in nested(original):
            for position, value in enumerate(inner.inputs):
                if value is not None and value.graph is original.graph and value.name:
                    inner.replace_input_with(position, self._captured(value.name))

    def _captured(self, name: str) -> ir.Value:
        return self._value(Read(name, self._graph.values[name].region))

    def _input(self, read: Read | Literal | None) -> ir.Value | None:
        if read is None:
            return None
        if isinstance(read, Literal):
            return self._ints(read.ints)
        return self._value(read)

    def _value(self, read: Read) -> ir.Value:
        if read.value not in self._local:
            return self._weights(read)
        if self._have[read.value] == read.region:
            return self._local[read.value]
        if read not in self._crops:
            name = self._fresh(f"{read.value}[{read.region}]")
            self._crops[read] = self._crop(self._local[read.value], read, ir.Value(name=name))
        return self._crops[read]

    def _weights(self, read: Read) -> ir.Value:
        if read.region == self._graph.values[read.value].region:
            return self._initialiser(read.value, self._tensor(read.value))
        array = self._tensor(read.value).numpy()[read.region.slices]
        return self._constant(f"{read.value}[{read.region}]", array)

    def _tensor(self, name: str) -> ir.TensorProtocol:
        value = self._initializers.get(name)
        node = self._originals.get(name)
        if value is None and node is not None:
            value = next(output for output in node.outputs if output.name == name)
        tensor = ir.convenience.get_const_tensor(value) if value is not None else None
        if tensor is None:
            raise ShardError(f"no weights for {name}", where=str(self._graph.path))
        return tensor

    def _parity(self, node: Node) -> dict[int, Array]:
        code = self._spec.code
        if code is None or code.value not in node.outputs:
            return {}
        box = dict(self._spec.outputs)[code.value]
        rows = (box.lo[code.axis], box.hi[code.axis])
        return parity_constants(node, code, box.rank, rows, self._array)

    def _array(self, name: str) -> Array | None:
        value = self._graph.values.get(name)
        return self._tensor(name).numpy() if value is not None and value.constant else None

    def _output(self, name: str, region: Region) -> ir.Value:
        encoded = name in self._encodings
        output = self._typed_encoded(name, region) if encoded else self._typed(name, region)
        made = self._wire[name] if encoded else self._local[name]
        if made.name != output.name:
            return self._crop(made, Read(name, self._wanted[name]), output)
        made.type, made.shape = output.type, output.shape
        return made

    def _crop(self, value: ir.Value, read: Read, output: ir.Value) -> ir.Value:
        """Add a Slice of what is there of a value; before opset 10 its bounds are attributes."""
        box = read.region.within(self._have[read.value])
        bounds = {"starts": box.lo, "ends": box.hi, "axes": tuple(range(box.rank))}
        inputs: list[ir.Value | None] = [value]
        attributes: list[ir.Attr] = []
        if self._opset >= _SLICE_BY_INPUTS:
            inputs += [self._ints(ints) for ints in bounds.values()]
        else:
            attributes = [ir.AttrInt64s(name, ints) for name, ints in sorted(bounds.items())]
        name = self._fresh(f"crop {output.name}")
        self.nodes.append(
            ir.Node("", "Slice", inputs, attributes=attributes, outputs=[output], name=name)
        )
        return output

    def _ints(self, ints: tuple[int, ...]) -> ir.Value:
        return self._constant(f"ints({','.join(map(str, ints))})", np.array(ints, dtype=np.int64))

    def _constant(self, name: str, array: Array) -> ir.Value:
        name = self._fresh(name)
        return self._initialiser(name, ir.Tensor(array, name=name))

    def _initialiser(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        if name not in self._constants:
            self._constants[name] = ir.Value(
                name=name,
                shape=ir.Shape(tensor.shape.numpy()),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
        return self._constants[name]

    def _typed(self, name: str, region: Region) -> ir.Value:
        return typed(name, region, self._graph.values[name].dtype)

    def _typed_encoded(self, name: str, region: Region) -> ir.Value:
        return typed(self._graph.wire_name(name), region, self._encodings[name].dtype)

    def _internal_name(self, name: str, region: Region) -> str:
        """Return the value's own name, unless a crop of it is an output, which takes that name."""
        wanted = self._wanted.get(name, region)
        return name if wanted == region else self._fresh(f"{name}[{region}]")

    def _fresh(self, name: str) -> str:
        while name in self._graph.values:
            name += "'"
        return name
